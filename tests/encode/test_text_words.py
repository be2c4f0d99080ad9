"""Words to numbers: spelling mistakes are read as what was meant, and what is unknown is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusion_pipeline.encode.text import LENGTH, NUMBERS, TextError, Vocabulary

WORDS = Vocabulary(("10", "20", "behind", "car", "cars", "from", "left", "lorry", "pedestrian", "siren", "two"))


def test_known_words_have_their_place_in_the_file(tmp_path: Path) -> None:
    WORDS.save(tmp_path / "words.txt")
    again = Vocabulary.load(tmp_path / "words.txt")
    reading = again.read("A siren, from the LEFT behind!")
    assert [again.words[i - 1] for i in reading.ids if i] == ["siren", "from", "left", "behind"]
    assert reading.ids.shape == (LENGTH,)
    assert not reading.read_as
    assert not reading.left_out


def test_unknown_words_are_read_as_their_like_or_named() -> None:
    reading = WORDS.read("two pedestrains, 12 lorrys, xylophone")
    assert dict(reading.read_as) == {"pedestrains": "pedestrian", "12": "10", "lorrys": "lorry", "xylophone": ""}
    assert len(WORDS.words) < reading.ids[4] < NUMBERS
    assert reading.ids[4] == WORDS.bucket("xylophone")


def test_what_is_too_long_is_told() -> None:
    reading = WORDS.read("car " * LENGTH + "siren left")
    assert reading.left_out == ("siren", "left")


@pytest.mark.parametrize("text", ["", "the", "!?"])
def test_no_word_is_refused(text: str) -> None:
    with pytest.raises(TextError, match="holds no word; write"):
        WORDS.read(text)


def test_vocabularies_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "twice.txt").write_text("car\ncar\n")
    with pytest.raises(TextError, match=r"twice.txt: the vocabulary names 'car' twice"):
        Vocabulary.load(tmp_path / "twice.txt")
    with pytest.raises(TextError, match=r"none.txt cannot be read"):
        Vocabulary.load(tmp_path / "none.txt")
    with pytest.raises(TextError, match="has 1 to"):
        Vocabulary(tuple(f"w{k}" for k in range(NUMBERS)))
