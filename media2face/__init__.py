"""media2face: speech, text and images in; a living face out, on ROS 2 topics.

The rooms (``runtime``, ``nodes``, ``models``, ...) are the top-level folders of the repository. An installed package
holds them as sub-packages; in a source tree (``pip install -e``, ``colcon build --symlink-install``) they lie beside
this folder's resolved parent, which is then searched too.
"""

from pathlib import Path

__version__ = "0.1.0"

_root = Path(__file__).resolve().parent.parent
if (_root / "package.xml").is_file() and str(_root) not in __path__:
    __path__.append(str(_root))
