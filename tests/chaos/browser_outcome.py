"""What came of a chaos run: its figures for a person, and what makes it fail."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from tests.chaos.browser_analysis import Gap, Logins, Recording, amid, spread
from tests.chaos.browser_killer import Ended
from tests.chaos.browser_machine import Load

MEDIAN, MOST = 1.0, 3.0
"""Seconds from the end of one process until the next one serves."""
SHOWN = 30
"""Troubles that are printed."""


class Outcome(NamedTuple):
    """What came of a run."""

    mode: str
    seed: int
    planned: int
    ends: List[Ended]
    seconds: float
    troubles: List[str]
    """What nobody may see, in a run without kills neither."""
    gaps: List[Gap]
    notes: List[str]
    """For each gap: the last end of the focus before it."""
    unsteady: List[str]
    settled: List[float]
    """Seconds each flow took to begin."""
    told: List[float]
    """Seconds from the start of each process, or its turn, until it served again, as it says itself."""
    logins: Logins
    recordings: List[Recording]
    steps: int
    load: Load

    @property
    def real_gaps(self) -> List[Gap]:
        """Those in which nothing arrived."""
        return [gap for gap in self.gaps if gap.why != "blind"]

    def text(self) -> str:
        """Figures for a person."""
        lines = [
            "%s, seed %d: %d of %d ends of the focus in %.0f s, %d steps" % (
                self.mode or "control", self.seed, len(self.ends), self.planned, self.seconds, self.steps),
            "  machine: %s" % (self.load,),
            "  gaps: %d, interruptions: %d, windows in which a page could not look: %d" % (
                len(self.real_gaps), len(self.unsteady), len(self.gaps) - len(self.real_gaps)),
            "  a flow began after (s): %s" % (spread(self.settled),),
            "  logins: %d anew, %d resumed" % self.logins,
        ]
        lines += self._text_of_ends() if self.mode else []
        lines += ["  %s" % line for line in self.notes + self.unsteady]
        lines += ["  TROUBLE %s" % line[:300] for line in self.troubles[:SHOWN]]
        lines += ["  ... and %d more" % (len(self.troubles) - SHOWN)] * (len(self.troubles) > SHOWN)
        return "\n".join(lines)

    def _text_of_ends(self) -> List[str]:
        hit = sum(1 for end in self.ends if end.hit)
        lines = [
            "  ends in the middle of somebody's step: %d" % amid(self.recordings, [end.ms for end in self.ends]),
            "  from the signal to the end (s): %s" % (spread(end.gone for end in self.ends),),
            "  from the signal to the answer of a conference request (s): %s" % (spread(self.served()),),
        ]
        lines += ["    %s a spare waiting: %s" % (word, spread(self.served(spare)))
                  for word, spare in (("with", True), ("without", False))]
        created = spread(end.created for end in self.ends if end.created is not None)
        return lines + [
            "    not counted: %d where the next process was ended, too, before it served" % hit,
            "  the same, of a request for a new conference: %s" % (created,),
            "  serving again, in its own words (s): %s" % (spread(self.told),),
        ]

    def served(self, spare: Optional[bool] = None) -> List[float]:
        """Seconds until a conference request was answered, of each end that no other hit meanwhile.

        spare: only of those with, or without, a spare waiting.
        """
        return [end.served for end in self.ends
                if end.served is not None and not end.hit and spare in (None, end.spare)]

    def complaints(self, control: Optional[Outcome]) -> List[str]:
        """What makes the run fail; compared with a run without kills where a busy machine can be the cause."""
        found = list(self.troubles)
        if self.logins.fresh != 1:
            found.append("%d logins anew, not one" % self.logins.fresh)
        if self.mode:
            answered = [end for end in self.ends if None not in (end.served, end.created)]
            if len(self.ends) != self.planned or len(answered) != self.planned:
                found.append("%d of %d ends, %d answered" % (len(self.ends), self.planned, len(answered)))
            if not self.logins.resumed:  # a process that is ended before it has resumed leaves that to the next one
                found.append("nothing was resumed")
            figures = spread(self.served())
            if figures.median >= MEDIAN or figures.most >= MOST:
                found.append("too slow: %s" % (figures,))
        if control is not None:
            if len(self.real_gaps) > len(control.real_gaps):
                found.append("%d gaps, %d in the control run" % (len(self.real_gaps), len(control.real_gaps)))
            if len(self.unsteady) > len(control.unsteady):
                found.append("%d interruptions, %d in the control run" % (len(self.unsteady), len(control.unsteady)))
        return found
