"""GNPFA: a variational auto-encoder of facial geometry and its maps to and from blendshape weights."""
