"""Every labelling leads to the 42 phones, and times are kept."""

from __future__ import annotations

import pytest

from media2face.data import phones as p


def test_classes_are_the_agreed_ones():
    assert len(p.PHONES) == len(set(p.PHONES)) == 42
    assert p.PHONES[0] == "sil" and p.INDEX["oe"] == 41
    assert p.VOWELS | p.BILABIALS | p.LABIODENTALS | p.ROUNDED <= set(p.PHONES)
    assert not p.VOWELS & p.BILABIALS


@pytest.mark.parametrize(
    ("ipa", "language", "expected"),
    [
        ("p", "en", ("p",)),
        ("tʃ", "en", ("ch",)),
        ("t͡ʃ", "it", ("ch",)),
        ("ts", "de", ("t", "s")),
        ("aɪ", "en", ("a", "I")),
        ("ɑ̃", "fr", ("A",)),
        ("uː", "de", ("u",)),
        ("ɾ", "en", ("d",)),
        ("ɾ", "es", ("r",)),
        ("ʁ", "fr", ("r",)),
        ("x", "de", ("x",)),
        ("ʔ", "de", ("sil",)),
        ("(en)", "fr", ()),
        ("", "en", ()),
    ],
)
def test_espeak(ipa, language, expected):
    assert p.from_espeak(ipa, language) == expected


def test_every_table_leads_to_known_phones():
    for name in p._RADIO:
        assert set(p.from_flite(name)) <= set(p.PHONES)
    for language, table in p._FESTIVAL.items():
        for name in table:
            found = p.from_festival(language, name)
            assert found and set(found) <= set(p.PHONES), (language, name)
    assert set(p._IPA.values()) | set(p._AFFRICATES.values()) <= set(p.PHONES)
    assert set(p._EMODB.values()) <= set(p.PHONES)


def test_festival_marks_of_stress_and_length_are_dropped():
    assert p.from_festival("it", "a1") == ("a",)
    assert p.from_festival("fi", "m:") == ("m",)
    assert p.from_festival("cs", "r~") == ("zh",)
    assert p.from_festival("ru", "bb") == ("b",)


def test_unknown_labels_are_refused_by_name():
    with pytest.raises(ValueError, match="'qq'"):
        p.from_flite("qq")
    with pytest.raises(ValueError, match="language 'xx'"):
        p.from_festival("xx", "a")


def test_pairs_are_split_at_sixty_percent():
    assert p.spread(1.0, 2.0, ("a", "I")) == [(1.0, pytest.approx(1.6), "a"), (pytest.approx(1.6), 2.0, "I")]
    assert p.spread(1.0, 2.0, ("m",)) == [(1.0, 2.0, "m")]
    assert p.spread(1.0, 2.0, ()) == []


def test_emodb_closures_modifiers_and_releases(tmp_path):
    path = tmp_path / "x.phones"
    path.write_text("0.1 _p\n0.2 !p\n0.25 pasp\n0.3 aI\n0.5 n\n0.6 -sth\n0.7 .\n")
    timed = p.read_emodb(path, 1.0)
    assert [(a, b, c) for a, b, c in timed if c in ("p", "n", "sil")] == [
        (0.1, 0.2, "p"),
        (0.5, 0.7, "n"),
        (0.7, 1.0, "sil"),
    ]
    assert [c for _, _, c in timed] == ["p", "a", "I", "n", "sil"]
    assert p.read_emodb(path, 0.55)[-1] == (0.5, 0.55, "n")  # the files' sound is cut, their labels are not
    with_releases = p.read_emodb(path, 1.0, releases=True)
    assert with_releases[0] == (0.1, 0.3, "p")


def test_emodb_files_are_understood(shared_data):
    folder = shared_data / "emodb_validation"
    if not folder.is_dir():
        pytest.skip("emodb_validation is not there")
    counts: dict[str, int] = {}
    for path in folder.glob("*.phones"):
        timed = p.read_emodb(path, 60.0)
        assert all(b > a for a, b, _ in timed)
        for _, _, phone in timed:
            counts[phone] = counts.get(phone, 0) + 1
    assert counts["m"] > 150 and counts["n"] > 200 and counts["b"] > 80 and counts["t"] > 200
