"""The words for each procedural sound: nouns, clauses, words of its attribute, and one clause held out.

`{a}` stands for a word of the attribute. The clause in `unseen` is never used for training, neither of models
nor of encoders: test queries with it show how a text encoder deals with new wording. The encoders are trained
on a part of the other words only, so they meet new ones in every data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The wordings for one class of sound.

    Attributes:
        values: Words for value 0 and value 1 of its attribute.
        nouns: Names of the class.
        clauses: With the attribute.
        unseen: The clause that is held out for tests, with the attribute.
    """

    values: tuple[tuple[str, ...], tuple[str, ...]]
    nouns: tuple[str, ...]
    clauses: tuple[str, ...]
    unseen: str

    def only(self, part: slice) -> Words:
        """Return a part of the words of each kind."""
        zero, one = self.values
        return Words((zero[part], one[part]), self.nouns[part], self.clauses[part], self.unseen)


Lexicon = Mapping[str, Words]

_PACE = (("slow", "unhurried", "leisurely"), ("fast", "rapid", "quick"))
_PITCH = (("low-pitched", "deep", "low"), ("high-pitched", "shrill", "high"))

LEXICON: Lexicon = {
    "alarm": Words(
        values=_PACE,
        nouns=("alarm beeping", "electronic beeps", "beeping of an alarm"),
        clauses=("an alarm beeps at a {a} rate", "{a} electronic beeps sound", "a device gives {a} beeps"),
        unseen="a {a} beeping warning signal goes off",
    ),
    "applause": Words(
        values=(("sparse", "scattered", "thin"), ("loud", "thunderous", "dense")),
        nouns=("applause", "hand clapping", "people clapping"),
        clauses=(
            "an audience gives {a} applause",
            "people clap with {a} clapping",
            "{a} applause fills a hall",
        ),
        unseen="spectators respond with {a} claps of their hands",
    ),
    "bell": Words(
        values=_PITCH,
        nouns=("church bell", "bell tolling", "ringing of a bell"),
        clauses=(
            "a {a} church bell tolls",
            "a {a} bell is struck again and again",
            "a tower bell rings {a} notes",
        ),
        unseen="the chapel bells peal in a {a} tone",
    ),
    "bird": Words(
        values=_PITCH,
        nouns=("bird chirping", "birdsong", "tweeting of a bird"),
        clauses=("a bird sings {a} notes", "a {a} bird chirps", "{a} tweets come from a bird"),
        unseen="a songbird is twittering with {a} chirps",
    ),
    "car horn": Words(
        values=(("long", "sustained", "drawn-out"), ("short", "brief", "clipped")),
        nouns=("car horn", "honking", "horn of a car"),
        clauses=("a car gives {a} honks", "a driver sounds {a} blasts on the horn", "{a} honking in traffic"),
        unseen="a vehicle toots its horn with {a} honks",
    ),
    "clock": Words(
        values=_PACE,
        nouns=("clock ticking", "ticking of a clock", "ticks of a watch"),
        clauses=("a clock ticks at a {a} pace", "a watch makes {a} ticks", "{a} ticking comes from a clock"),
        unseen="the {a} tick-tock of a clock on the wall",
    ),
    "crickets": Words(
        values=_PACE,
        nouns=("crickets", "insects chirring", "cricket song"),
        clauses=(
            "crickets chirr at a {a} rate",
            "{a} calls from insects at night",
            "a cricket gives {a} calls",
        ),
        unseen="insects in the grass stridulate in a {a} rhythm",
    ),
    "dog": Words(
        values=(("big", "deep-voiced", "large"), ("small", "yapping", "little")),
        nouns=("dog barking", "barks of a dog", "barking"),
        clauses=("a {a} dog barks", "a {a} dog is barking repeatedly", "barking comes from a {a} dog"),
        unseen="a {a} hound keeps on barking",
    ),
    "drum": Words(
        values=_PACE,
        nouns=("drum beat", "drumming", "beating of a drum"),
        clauses=("a drum plays a {a} beat", "{a} drumming continues", "a drummer beats a {a} rhythm"),
        unseen="somebody pounds drums in {a} strokes",
    ),
    "engine": Words(
        values=(("idling", "low-revving", "slow-running"), ("revving", "high-revving", "racing")),
        nouns=("engine", "motor", "engine running"),
        clauses=("a {a} engine runs", "a {a} motor hums", "a car stands with its {a} engine on"),
        unseen="the {a} motor of a truck throbs",
    ),
    "footsteps": Words(
        values=(("slow", "unhurried", "walking"), ("fast", "rapid", "running")),
        nouns=("footsteps", "steps on a floor", "footfall"),
        clauses=("someone passes with {a} footsteps", "a person takes {a} steps", "{a} steps cross a floor"),
        unseen="{a} feet are stepping along a corridor",
    ),
    "frog": Words(
        values=_PITCH,
        nouns=("frog croaking", "croaking of a frog", "frogs"),
        clauses=("a frog gives {a} croaks", "a {a} frog croaks", "{a} croaking from a pond"),
        unseen="a toad croaks at the pond with a {a} call",
    ),
    "helicopter": Words(
        values=_PACE,
        nouns=("helicopter", "rotor blades", "hovering helicopter"),
        clauses=(
            "a helicopter hovers with {a} rotor beats",
            "{a} chopping of rotor blades",
            "a helicopter flies over with {a} blades",
        ),
        unseen="a chopper's rotors thump in {a} succession",
    ),
    "knock": Words(
        values=_PACE,
        nouns=("knocking on a door", "door knocks", "rapping on wood"),
        clauses=(
            "someone gives {a} knocks on a door",
            "{a} rapping at the door",
            "a visitor knocks with {a} raps",
        ),
        unseen="a fist bangs on a wooden door with {a} knocks",
    ),
    "phone": Words(
        values=_PITCH,
        nouns=("telephone ringing", "phone ring", "ringtone of a phone"),
        clauses=("a {a} telephone rings", "a phone gives a {a} ring", "a {a} phone calls for an answer"),
        unseen="a {a} ringtone comes from a mobile",
    ),
    "rain": Words(
        values=(("light", "gentle", "drizzling"), ("heavy", "pouring", "intense")),
        nouns=("rain", "rainfall", "raindrops"),
        clauses=("{a} rain is falling", "{a} rain patters on the ground", "there is {a} rainfall outside"),
        unseen="a {a} shower of rain comes down",
    ),
    "sawing": Words(
        values=_PACE,
        nouns=("sawing wood", "hand saw", "sawing of timber"),
        clauses=(
            "a saw cuts wood with {a} strokes",
            "{a} sawing of timber",
            "someone is sawing with {a} pulls",
        ),
        unseen="a carpenter saws a plank in {a} movements",
    ),
    "siren": Words(
        values=(("slow", "slowly wailing", "leisurely"), ("fast", "rapidly yelping", "quick")),
        nouns=("siren", "emergency siren", "ambulance siren"),
        clauses=(
            "a {a} siren sounds",
            "an ambulance passes with a {a} siren",
            "a {a} emergency siren rises and falls",
        ),
        unseen="a police car with its {a} siren on",
    ),
    "vacuum": Words(
        values=_PITCH,
        nouns=("vacuum cleaner", "hoover", "vacuuming"),
        clauses=(
            "a vacuum cleaner runs with a {a} whine",
            "a {a} hoover is in use",
            "{a} vacuuming of a carpet",
        ),
        unseen="someone hoovers the room with a {a} machine",
    ),
    "voice": Words(
        values=(("man", "male speaker", "gentleman"), ("woman", "female speaker", "lady")),
        nouns=("speech", "talking", "a person speaking"),
        clauses=("a {a} is talking", "a {a} speaks at length", "a {a} gives a speech"),
        unseen="the spoken words of a {a}",
    ),
}
"""Words of each class of `sounds.CLASSES`."""
KNOWN_TO_ENCODERS: Lexicon = {name: words.only(slice(2)) for name, words in LEXICON.items()}
"""Words that the shipped encoders were trained on."""
NEW_TO_ENCODERS: Lexicon = {name: words.only(slice(2, None)) for name, words in LEXICON.items()}
"""The others; data sets use both."""

BARE = ("the sound of {}", "{}", "{} can be heard", "you can hear {}")
"""Templates around a noun where the attribute is not named."""

FAR = ("in the distance", "far away", "from afar")
NEAR = ("close by", "nearby", "up close")
WHILE = (" while ", " at the same time as ", " as ")
