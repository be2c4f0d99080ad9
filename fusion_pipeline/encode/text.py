"""Words to the numbers that the text network takes.

A vocabulary is a text file with a word a line. A word that it lacks is read as the known word that shares most letter
triples with it ("pedestrain", "lorrys"), a number as the nearest known number; what is like no known word falls into
one of the numbers that are left, by its hash, and training teaches the network to make little of those.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np

from fusion_pipeline.arrays import Ints

LENGTH = 24  # words of a text
NUMBERS = 1024  # ids: 0 nothing, 1 to V the vocabulary, the rest for words unknown
LIKE = 0.5  # share of letter triples in common (Dice) from which one word is read as another
_IGNORED = frozenset(("a", "an", "the", "of", "is", "are", "there", "it", "at", "with", "some", "can", "be"))
_WORD = re.compile(r"[a-z]+|[0-9]+")


class TextError(ValueError):
    """A text or a vocabulary that cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How a text was read."""

    ids: Ints  # (LENGTH,) 0 where the text is over
    read_as: tuple[tuple[str, str], ...]  # unknown words and what they were taken for; "" for nothing known
    left_out: tuple[str, ...]  # words beyond the LENGTH-th


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Known words; the id of the first is 1."""

    words: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.words) < NUMBERS - 1:
            raise TextError(f"a vocabulary has 1 to {NUMBERS - 2} words, this one {len(self.words)}")
        object.__setattr__(self, "_ids", {word: k for k, word in enumerate(self.words, 1)})
        if len(self._ids) < len(self.words):
            twice = next(word for word in self.words if self.words.count(word) > 1)
            raise TextError(f"the vocabulary names {twice!r} twice; keep one")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a vocabulary file. Raises TextError naming the file."""
        try:
            lines = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise TextError(f"vocabulary {path} cannot be read: {error}") from None
        try:
            return cls(tuple(lines))
        except TextError as error:
            raise TextError(f"{path}: {error}") from None

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """All words of some texts, in alphabetical order."""
        return cls(tuple(sorted({word for text in texts for word in words_of(text)})))

    def save(self, path: Path) -> None:
        """Write the file that `load` reads."""
        path.write_text("\n".join(self.words) + "\n", encoding="utf-8")

    def read(self, text: str) -> Reading:
        """A text of any length. Raises TextError where it holds no word."""
        words = words_of(text)
        if not words:
            raise TextError(f'the text {text!r} holds no word; write for example "a siren from the left"')
        ids, read_as = np.zeros(LENGTH, np.int64), []
        for k, word in enumerate(words[:LENGTH]):
            known = word if word in self._ids else _nearest(self.words, word)
            if known != word:
                read_as.append((word, known))
            ids[k] = self._ids.get(known) or self.bucket(word)
        return Reading(ids, tuple(read_as), tuple(words[LENGTH:]))

    def bucket(self, word: str) -> int:
        """The id of a word like no known one."""
        first = len(self.words) + 1
        return first + zlib.crc32(word.encode()) % (NUMBERS - first)


def words_of(text: str) -> list[str]:
    """Words and numbers in small letters, without those that say nothing."""
    return [word for word in _WORD.findall(text.lower()) if word not in _IGNORED]


@lru_cache(maxsize=4096)
def _nearest(known: tuple[str, ...], word: str) -> str:
    """The known word most like another, or the nearest number; "" where none is like it."""
    if word.isdigit():
        return min((w for w in known if w.isdigit()), key=lambda w: abs(int(w) - int(word[:9])), default="")
    own = _triples(word)
    best, score = "", 0.0
    for other in known:
        theirs = _triples(other)
        like = 2 * len(own & theirs) / (len(own) + len(theirs))
        if like > score:
            best, score = other, like
    return best if score >= LIKE else ""


@lru_cache(maxsize=4096)
def _triples(word: str) -> frozenset[str]:
    padded = f"^{word}$"
    return frozenset(padded[k : k + 3] for k in range(len(padded) - 2))
