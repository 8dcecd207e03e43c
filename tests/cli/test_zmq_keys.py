"""``media2face zmq-keys``."""

from __future__ import annotations

import stat

from media2face.bodies.bridges.zmq_security import load_server_keys
from media2face.cli.main import main


def test_keys_are_made_once_and_serve(tmp_path, capsys):
    folder = tmp_path / "keys"
    assert main(["zmq-keys", str(folder), "--client", "stage", "--client", "dialogue"]) == 0
    written = capsys.readouterr().out.split()
    assert len(written) == 6 and all(line.startswith(str(folder)) for line in written)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    keys = load_server_keys(folder)
    assert main(["zmq-keys", str(folder), "--client", "third"]) == 0
    assert load_server_keys(folder).secret == keys.secret
    capsys.readouterr()
    for wrong in ([], ["--client", "stage"], ["--client", "../x"]):
        assert main(["zmq-keys", str(folder), *wrong]) == 2
        assert capsys.readouterr().err.startswith("media2face: error: ")
