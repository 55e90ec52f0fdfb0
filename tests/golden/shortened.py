"""A data set part that keeps the first recordings of each split of another one."""

from collections.abc import Sequence

from pydantic import Field

from amrbench.slots.data import Dataset, DatasetPart, Recording


class Shortened(DatasetPart):
    """The first recordings of each split of another data set."""

    use = "shortened"
    around: DatasetPart
    sizes: dict[str, int] = Field(default_factory=dict, description="recordings of each split")

    def build(self) -> Dataset:
        return ShortenedDataset(self.around.build(), self.sizes)


class ShortenedDataset:
    def __init__(self, around: Dataset, sizes: dict[str, int]) -> None:
        self.around = around
        self.sizes = sizes

    def splits(self) -> Sequence[str]:
        return list(self.sizes)

    def size(self, split: str) -> int:
        return self.sizes[split]

    def recording(self, split: str, index: int) -> Recording:
        return self.around.recording(split, index)

    def fingerprint(self) -> str:
        return f"{self.around.fingerprint()} {sorted(self.sizes.items())}"
