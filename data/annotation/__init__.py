"""Five levels of text for motion clips, as MMHead has them: by rules, or through a language model the user names."""
