"""Commands that must fail."""

from media2face.cli.main import main


def fails(capsys, *arguments) -> str:
    """Run a command that must fail; returns its one line of error."""
    assert main([str(a) for a in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("media2face: error: "), lines
    return lines[0]
