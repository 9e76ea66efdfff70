"""Math-verify's LaTeX grammar, made to remember how it resolved what is ambiguous in it.

Parsing is what verdicts spend their time on, and four fifths of it go into one step: where a few tokens of lookahead do
not decide between two rules, antlr walks its automaton again with the whole stack of rules as context ("full context"),
and, unlike the rest of its work, keeps nothing of that. Real answers need the same few dozen of these walks over and
over: remembered, parsing takes a half to a third of the time, and gives the same trees.

What is remembered is the result of two pure functions of antlr's `ParserATNSimulator` (4.13.2). Where a walk starts
depends on the decision, the stack of invoking states and, since this grammar's only predicates are those of operator
precedence, on the precedence on top of the parser's stack. Where it goes depends on the set of configurations it has
reached and on the next token.
"""

from typing import Any

from antlr4.atn.ParserATNSimulator import ParserATNSimulator
from antlr4.atn.Transition import Transition
from latex2sympy2_extended.gen.antlr4_13_2.PSParser import PSParser

MOST = 5_000  # sets remembered, of some 20 kB each; then all are forgotten. A thousand suffice for real answers.

_compute_start = ParserATNSimulator.computeStartState
_compute_reach = ParserATNSimulator.computeReachSet


class Memory:
    """The two functions with a memory. A set is found by identity: being kept here, it keeps its id."""

    def __init__(self) -> None:
        self.starts: dict[tuple[int, ...], Any] = {}
        self.reached: dict[int, tuple[Any, dict[int, Any]]] = {}  # id -> (the set, next token -> the set it leads to)

    def start(self, simulator: Any, state: Any, context: Any, full_context: bool) -> Any:
        if not full_context or simulator.atn is not PSParser.atn:
            return _compute_start(simulator, state, context, full_context)
        if len(self.reached) > MOST:
            self.starts.clear()
            self.reached.clear()
        key = (state.stateNumber, simulator.parser._precedenceStack[-1], *_invoking_states(context))
        if key not in self.starts:
            self.starts[key] = self._keep(_compute_start(simulator, state, context, full_context))
        return self.starts[key]

    def reach(self, simulator: Any, configurations: Any, token: int, full_context: bool) -> Any:
        if not full_context or id(configurations) not in self.reached:
            return _compute_reach(simulator, configurations, token, full_context)
        following = self.reached[id(configurations)][1]
        if token not in following:
            following[token] = self._keep(_compute_reach(simulator, configurations, token, full_context))
        return following[token]

    def _keep(self, configurations: Any) -> Any:
        if configurations is not None:
            self.reached[id(configurations)] = (configurations, {})
        return configurations


def _invoking_states(context: Any) -> list[int]:
    states = []
    while context is not None:
        states.append(context.invokingState)
        context = context.parentCtx
    return states


def remember_predictions() -> Memory | None:
    """Let this process's parsers remember; the memory, or None if the grammar has predicates that it does not know."""
    transitions = (transition for state in PSParser.atn.states for transition in state.transitions)
    if any(transition.serializationType == Transition.PREDICATE for transition in transitions):
        return None
    memory = Memory()
    ParserATNSimulator.computeStartState = lambda *arguments: memory.start(*arguments)
    ParserATNSimulator.computeReachSet = lambda *arguments: memory.reach(*arguments)
    return memory
