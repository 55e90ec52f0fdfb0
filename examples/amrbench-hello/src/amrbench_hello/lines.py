"""An observer: one line of a CSV file for each epoch."""

import csv

from pydantic import Field

from amrbench.slots.observers import ObserverPart


class Csv(ObserverPart):
    """Write the loss of each epoch of each stage into a CSV file."""

    use = "csv"
    file: str = Field("epochs.csv", min_length=1, description="file to write to")

    def build(self):
        return Lines(self.file)


class Lines:
    """See `Csv`."""

    def __init__(self, file):
        self.file = file

    def write(self, mode, *cells):
        with open(self.file, mode, newline="") as opened:
            csv.writer(opened).writerow(cells)

    def begin(self, runs):
        self.write("w", "stage", "epoch", "loss")

    def epoch(self, epoch):
        self.write("a", epoch.stage, epoch.epoch, sum(epoch.losses.values()))

    def end(self, run, rows):
        pass  # The table is in the folder of the run.

    def close(self):
        pass  # Nothing is open.
