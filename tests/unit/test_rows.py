"""Rows and ledgers: what was changed is noted, and only that; a turn that fails is undone (DESIGN, "Poison")."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Tuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from focus.journal.codec import CODEC
from focus.journal.rows import Change, Ledger, Row, Rows, Unreadable


@dataclass(eq=False)
class Leaf(Row):
    name: str
    size: int = 0


@dataclass(eq=False)
class Branch(Row):
    name: str
    count: int = 0
    marks: Dict[str, int] = field(default_factory=dict)
    leaves: Rows[Leaf] = field(default_factory=lambda: Rows("leaf", Leaf), metadata={"journal": False})

    def tables(self) -> Iterable[Rows[Leaf]]:
        return (self.leaves,)


class Tree:
    """Two tables, one of rows with tables of their own and one of plain values, and their ledger."""

    def __init__(self) -> None:
        self.branches: Rows[Branch] = Rows("branch", Branch)
        self.texts: Rows[str] = Rows("text", str)
        self.woken = 0
        self.ledger = Ledger(7, CODEC, self._wake)
        self.ledger.add(self.branches, self.texts)

    def _wake(self, _: Ledger) -> None:
        self.woken += 1

    def taken(self) -> List[Tuple[str, str, bool]]:
        """(kind, key, whether it is there) of what changed."""
        return [(change.kind, change.key, change.value is not None) for change in self.ledger.take()]

    def state(self) -> Any:
        """Everything as it is in memory, in its order."""
        return ([(key, row.name, row.count, dict(row.marks),
                  [(inner, leaf.name, leaf.size) for inner, leaf in row.leaves.items()])
                 for key, row in self.branches.items()], list(self.texts.items()))

    def check(self) -> None:
        """After a collection nothing has escaped the ledger."""
        noted = {(c.kind, c.key): (c.order, c.value) for c in self.ledger.all()}
        assert noted == {(c.kind, c.key): (c.order, c.value) for c in self.ledger.recounted()}


@pytest.fixture
def tree():
    made = Tree()
    made.branches["oak"] = Branch("oak")
    made.branches["elm"] = Branch("elm", 2, {"x": 1})
    made.branches["oak"].leaves["1"] = Leaf("one")
    made.texts["a"] = "A"
    made.texts["b"] = "B"
    made.ledger.take()
    made.woken = 0
    return made


# --- what is noted --------------------------------------------------------------------------------------------------

def test_nothing_changed(tree):
    assert tree.taken() == [] and tree.woken == 0


def test_a_field_is_set(tree):
    tree.branches["elm"].count = 3
    assert tree.woken == 1
    assert tree.taken() == [("branch", "elm", True)]
    assert tree.taken() == []


def test_set_to_what_it_was(tree):
    """Touched, but not changed: nothing to write."""
    tree.branches["elm"].count = 5
    tree.branches["elm"].count = 2
    tree.texts["a"] = "A"
    assert tree.woken == 2 and tree.taken() == []


def test_inside_of_a_field(tree):
    """It has to be said."""
    tree.branches["elm"].marks["y"] = 2
    assert tree.taken() == []
    tree.branches["elm"].touch()
    assert tree.taken() == [("branch", "elm", True)]


def test_insertion_and_removal(tree):
    tree.branches["ash"] = Branch("ash")
    del tree.texts["a"]
    assert sorted(tree.taken()) == [("branch", "ash", True), ("text", "a", False)]


def test_inserted_and_removed_again(tree):
    """Between two commits: the journal never hears of it."""
    tree.branches["ash"] = Branch("ash")
    tree.branches["ash"].leaves["1"] = Leaf("one")
    del tree.branches["ash"]
    assert tree.taken() == []
    tree.check()


def test_a_table_within_a_row(tree):
    tree.branches["elm"].leaves["9"] = Leaf("nine")
    tree.branches["oak"].leaves["1"].size = 4
    assert sorted(tree.taken()) == [("leaf", "elm\n9", True), ("leaf", "oak\n1", True)]


def test_a_row_takes_its_tables_along(tree):
    oak = tree.branches.pop("oak")
    assert sorted(tree.taken()) == [("branch", "oak", False), ("leaf", "oak\n1", False)]
    oak.count = 9  # it stands nowhere any more
    oak.leaves["2"] = Leaf("two")
    assert tree.woken == 2 and tree.taken() == []


def test_a_row_with_something_in_it(tree):
    made = Branch("ash")
    made.leaves["1"] = Leaf("one")
    assert tree.woken == 0
    tree.branches["ash"] = made
    assert sorted(tree.taken()) == [("branch", "ash", True), ("leaf", "ash\n1", True)]
    made.leaves["1"].size = 1
    assert tree.taken() == [("leaf", "ash\n1", True)]


def test_replaced(tree):
    old = tree.branches["elm"]
    tree.branches["elm"] = Branch("elm", 8)
    old.count = 77
    assert tree.taken() == [("branch", "elm", True)]
    tree.check()


def test_replaced_with_what_was_in_it(tree):
    tree.branches["oak"] = Branch("oak", 1)
    assert sorted(tree.taken()) == [("branch", "oak", True), ("leaf", "oak\n1", False)]
    tree.check()


def orders(tree: Tree) -> List[str]:
    """Keys of the branches in the order in which a later process has them."""
    return [c.key for c in sorted(tree.ledger.all(), key=lambda c: c.order) if c.kind == "branch"]


def test_the_order_of_insertion(tree):
    tree.branches["ash"] = Branch("ash")
    tree.branches["fir"] = Branch("fir")
    tree.branches["oak"].count = 1
    tree.ledger.take()
    assert orders(tree) == list(tree.branches) == ["oak", "elm", "ash", "fir"]


def test_inserted_again_stands_last(tree):
    oak = tree.branches.pop("oak")
    tree.branches["ash"] = Branch("ash")
    tree.branches["oak"] = oak
    tree.ledger.take()
    assert orders(tree) == list(tree.branches) == ["elm", "ash", "oak"]
    tree.check()


def test_inserted_again_and_again(tree):
    """Touched early in the turn, put behind others late in it."""
    tree.branches["oak"].count = 1
    tree.branches["ash"] = Branch("ash")
    oak = tree.branches.pop("oak")
    tree.branches["fir"] = Branch("fir")
    tree.branches["oak"] = oak
    tree.branches["ash"].count = 4
    tree.ledger.take()
    assert orders(tree) == list(tree.branches) == ["elm", "ash", "fir", "oak"]


def test_several_turns_in_one_commit(tree):
    tree.branches["elm"].count = 3
    tree.ledger.collect()
    tree.branches["ash"] = Branch("ash")
    tree.ledger.collect()
    del tree.branches["elm"]
    changes = {change.key: change for change in tree.ledger.take()}
    assert changes["elm"].value is None and changes["ash"].value is not None
    assert tree.ledger.take() == []


def test_not_for_rows(tree):
    for wrong in (tree.texts.popitem, lambda: tree.texts.setdefault("c", "C"), lambda: tree.texts.update(c="C")):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(KeyError):
        tree.texts.pop("nobody")
    assert tree.texts.pop("nobody", None) is None and tree.taken() == []
    tree.texts.clear()
    assert tree.taken() == [("text", "a", False), ("text", "b", False)]


def test_read_back(tree):
    """A later process has equal rows, in the same order, and notes their changes."""
    tree.branches["oak"] = tree.branches.pop("oak")
    tree.ledger.take()
    stored: Dict[str, List[Tuple[str, int, bytes]]] = {}
    for change in tree.ledger.all():
        stored.setdefault(change.kind, []).append((change.key, change.order, change.value or b""))
    later = Tree()
    later.branches.load(later.ledger, "", reversed(stored["branch"]))
    later.texts.load(later.ledger, "", stored["text"])
    for key, row in later.branches.items():
        row.leaves.load(later.ledger, key + "\n", [])
    assert list(later.branches) == list(tree.branches) and later.texts == tree.texts
    assert later.taken() == []
    later.branches["elm"].count = 7
    assert later.taken() == [("branch", "elm", True)]
    assert later.ledger.orders == tree.ledger.orders
    with pytest.raises(Unreadable):
        Tree().branches.load(tree.ledger, "", [("x", 1, b"\xc1")])


# --- undone ---------------------------------------------------------------------------------------------------------

def set_a_field(tree: Tree) -> None:
    tree.branches["oak"].count = 9


def change_inside(tree: Tree) -> None:
    tree.branches["elm"].marks["z"] = 9
    tree.branches["elm"].touch()


def insert(tree: Tree) -> None:
    tree.branches["ash"] = Branch("ash")
    tree.branches["ash"].leaves["1"] = Leaf("one")


def remove(tree: Tree) -> None:
    del tree.branches["oak"]


def remove_a_plain_one(tree: Tree) -> None:
    del tree.texts["a"]


def change_and_remove(tree: Tree) -> None:
    tree.branches["oak"].count = 3
    tree.branches["oak"].leaves["1"].size = 3
    del tree.branches["oak"]


def replace(tree: Tree) -> None:
    tree.branches["oak"] = Branch("OAK", 5)


def replace_twice(tree: Tree) -> None:
    tree.branches["oak"].count = 1
    tree.branches["oak"] = Branch("OAK", 5)
    tree.branches["oak"].leaves["7"] = Leaf("seven")
    tree.branches["oak"] = Branch("Oak", 6)


def move_to_the_end(tree: Tree) -> None:
    tree.branches["oak"] = tree.branches.pop("oak")
    tree.texts["a"] = tree.texts.pop("a")


def insert_and_remove(tree: Tree) -> None:
    insert(tree)
    del tree.branches["ash"]


def change_within(tree: Tree) -> None:
    tree.branches["oak"].leaves["1"].name = "ONE"
    tree.branches["oak"].leaves["2"] = Leaf("two")
    del tree.branches["oak"].leaves["1"]


def clear(tree: Tree) -> None:
    tree.branches.clear()
    tree.texts.clear()
    tree.texts["b"] = "again"


CHANGES = [set_a_field, change_inside, insert, remove, remove_a_plain_one, change_and_remove, replace, replace_twice,
           move_to_the_end, insert_and_remove, change_within, clear]


def living(tree: Tree) -> List[Change]:
    return sorted(tree.ledger.recounted())


@pytest.mark.parametrize("one", CHANGES)
@pytest.mark.parametrize("other", [None, set_a_field, change_within, move_to_the_end, clear])
def test_rolled_back(tree, one, other):
    """Rows, order and bytes are those of the last collection, and later changes are noted."""
    before, rows = tree.state(), living(tree)
    for change in (one, other):
        oak = tree.branches.get("oak")
        if change is not None and oak is not None and "1" in oak.leaves and "a" in tree.texts:
            change(tree)
    tree.ledger.roll_back()
    assert tree.state() == before and living(tree) == rows
    assert tree.taken() == []
    tree.check()
    one(tree)
    assert one is insert_and_remove or tree.state() != before
    tree.ledger.take()
    tree.check()


def test_rolled_back_to_the_last_collection_only(tree):
    tree.branches["elm"].count = 3
    tree.ledger.collect()
    tree.branches["elm"].count = 4
    tree.ledger.roll_back()
    assert tree.branches["elm"].count == 3 and tree.taken() == [("branch", "elm", True)]


def test_rows_stay_themselves(tree):
    """Who holds a row goes on holding the one in the table."""
    oak, leaf = tree.branches["oak"], tree.branches["oak"].leaves["1"]
    change_and_remove(tree)
    tree.ledger.roll_back()
    assert tree.branches["oak"] is oak and oak.leaves["1"] is leaf
    leaf.size = 2
    assert tree.taken() == [("leaf", "oak\n1", True)]


# --- anything -------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from("abcd")


class Anything(RuleBasedStateMachine):
    """Random changes, collections and failures."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = Tree()
        self.number = 0
        self.before = self.tree.state()
        self.written: Dict[Tuple[str, str], Tuple[int, bytes]] = {}

    def fresh(self) -> int:
        self.number += 1
        return self.number

    def branch(self, key: str) -> Optional[Branch]:
        return self.tree.branches.get(key)

    @rule(key=KEYS, inner=st.lists(KEYS, max_size=2, unique=True))
    def set_branch(self, key, inner):
        made = Branch("%s%d" % (key, self.fresh()))
        for name in inner:
            made.leaves[name] = Leaf(name)
        self.tree.branches[key] = made

    @rule(key=KEYS)
    def remove_branch(self, key):
        self.tree.branches.pop(key, None)

    @rule(key=KEYS)
    def insert_again(self, key):
        if key in self.tree.branches:
            self.tree.branches[key] = self.tree.branches.pop(key)

    @rule(key=KEYS)
    def same_again(self, key):
        if key in self.tree.branches:
            self.tree.branches[key] = self.tree.branches[key]

    @rule(key=KEYS, count=st.integers(0, 2))
    def set_field(self, key, count):
        if key in self.tree.branches:
            self.tree.branches[key].count = count

    @rule(key=KEYS)
    def set_inside(self, key):
        row = self.branch(key)
        if row is not None:
            row.marks[key] = self.fresh()
            row.touch()

    @rule(key=KEYS, inner=KEYS)
    def set_leaf(self, key, inner):
        row = self.branch(key)
        if row is not None:
            row.leaves[inner] = Leaf(inner, self.fresh())

    @rule(key=KEYS, inner=KEYS, size=st.integers(0, 2))
    def set_leaf_field(self, key, inner, size):
        row = self.branch(key)
        if row is not None and inner in row.leaves:
            row.leaves[inner].size = size

    @rule(key=KEYS, inner=KEYS)
    def remove_leaf(self, key, inner):
        row = self.branch(key)
        if row is not None:
            row.leaves.pop(inner, None)

    @rule(key=KEYS, text=st.sampled_from("xy"))
    def set_text(self, key, text):
        self.tree.texts[key] = text

    @rule(key=KEYS)
    def remove_text(self, key):
        self.tree.texts.pop(key, None)

    @rule()
    def clear(self):
        self.tree.branches.clear()

    @rule()
    def collect(self):
        self.tree.ledger.collect()
        self.tree.check()
        self.before = self.tree.state()

    @rule()
    def take(self):
        """What a journal has is what is in memory, in the same order."""
        for change in self.tree.ledger.take():
            if change.value is None:
                self.written.pop((change.kind, change.key), None)  # perhaps it came and went between two commits
            else:
                self.written[change.kind, change.key] = (change.order, change.value)
        living = {(c.kind, c.key): (c.order, c.value) for c in self.tree.ledger.recounted()}
        assert living == self.written
        self.before = self.tree.state()
        self.in_order()

    def in_order(self) -> None:
        tables: List[Rows[Any]] = [self.tree.branches, self.tree.texts]
        tables += [row.leaves for row in self.tree.branches.values()]
        for table in tables:
            places = [self.written[table.kind, table.prefix + key][0] for key in table]
            assert places == sorted(places) and len(set(places)) == len(places)

    @rule()
    def fail(self):
        self.tree.ledger.roll_back()
        assert self.tree.state() == self.before
        self.tree.check()

    @precondition(lambda self: not self.tree.ledger._active)
    @invariant()
    def quiet(self):
        assert self.tree.state() == self.before


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
