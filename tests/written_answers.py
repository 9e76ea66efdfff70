r"""Answers as models write them, each with what a careful reader says of it: does it state the gold?

Written from knowledge of how answers to these benchmarks look, and judged, before any rule was run on them; a pair on
which readers may differ is left out. One line a pair, under the kind of notation that it is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark_fixtures import BENCHMARKS
from mmr1.data.problems import Problem


@dataclass(frozen=True)
class Pair:
    """A problem, an answer to it, and whether it is right. `near`: only within ChartQA's 5%, which rewards do not know.

    `form` is "section" for what stands in an `<answer>` section, "text" for the end of a response without any tag.
    """

    kind: str
    problem: Problem
    answer: str
    right: bool
    near: bool = False
    form: str = "section"


def chartqa(gold: str, question: str = "?") -> Problem:
    return BENCHMARKS["chartqa"].to_problem({"query": question, "label": [gold], "human_or_machine": 0}, 0)


def mathvista(gold: str, kind: str, choices: Sequence[str] = (), precision: int | None = None) -> Problem:
    question_type = "multi_choice" if choices else "free_form"
    row = {"pid": "1", "question": "?", "unit": None, "metadata": {}, "answer": gold, "answer_type": kind}
    row |= {"question_type": question_type, "choices": list(choices) or None, "precision": precision}
    return BENCHMARKS["mathvista"].to_problem(row, 0)


def mathverse(gold: str) -> Problem:
    row = {"sample_index": "1", "problem_version": "Text Lite", "question": "?", "metadata": {}}
    return BENCHMARKS["mathverse"].to_problem({**row, "answer": gold, "question_type": "free-form"}, 0)


def mathvision(gold: str, options: Sequence[str] = ()) -> Problem:
    row = {"id": "1", "question": "?", "options": list(options), "answer": gold, "level": 1, "subject": "algebra"}
    return BENCHMARKS["mathvision"].to_problem(row, 0)


def logicvista(gold: str) -> Problem:
    row = {"imagename": "v1_0.png", "question": "Which figure comes next?", "answer": gold, "skill": ["inductive"]}
    return BENCHMARKS["logicvista"].to_problem(row, 0)


SIDES = mathvista("4 cm", "text", ["3 cm", "4 cm", "5 cm"])
LAST_SIDE = mathvista("5 cm", "text", ["3 cm", "4 cm", "5 cm"])
ANGLE = mathvista("60°", "text", ["30°", "45°", "60°", "90°"])
IS_IT = mathvista("No", "text", ["Yes", "No"])
PREY = mathvista("The number of owls decreases", "text", [
    "The number of owls decreases", "The number of owls increases", "The number of mice decreases"])  # fmt: skip
OPTIONS = ("$12$", "$15$", "$18$", "$20$", "$24$")
SHARE = "What share of women agreed in 2019?"
HOW_MANY = "How many of the 5 countries lie above 50%?"

KINDS: dict[str, list[tuple[Problem, str, bool]]] = {
    "percent": [
        (chartqa("23.4"), r"\boxed{23.4\%}", True),
        (chartqa("23.4"), "23.4 per cent", True),
        (chartqa("0.57"), r"\boxed{57\%}", True),
        (chartqa("3.6"), r"\boxed{3.6 percentage points}", True),
        (chartqa("12.5"), "12.5 pp", True),
        (chartqa("48"), r"\boxed{48\% of adults}", True),
        (chartqa("48"), "48% of U.S. adults", True),
        (chartqa("48"), "4.8%", False),
        (chartqa("7.9"), r"$7.9\%$", True),
        (mathvista("25", "integer"), r"25\,\%", True),
    ],
    "unit": [
        (chartqa("64"), "64 per 100,000 inhabitants", True),
        (chartqa("5.6"), r"\boxed{5.6 births per 1,000 people}", True),
        (chartqa("450"), "450 g CO2 per km", True),
        (chartqa("315"), r"\boxed{315\text{ kWh}}", True),
        (chartqa("82.3"), "82.3 years", True),
        (chartqa("17"), "17 metric tons of CO2", True),
        (mathverse("60 \\mathrm{~m}"), "60 metres", True),
        (mathverse("60 \\mathrm{~m}"), r"\boxed{6000 \text{ cm}}", True),
        (mathverse("60 \\mathrm{~m}"), "60 feet", False),
        (mathverse("60 \\mathrm{~m}"), r"\boxed{60\text{ m}^2}", False),
        (mathverse("Volume $=64 \\mathrm{~cm}^{3}$"), "64 cubic centimeters", True),
        (mathverse("Volume $=64 \\mathrm{~cm}^{3}$"), r"\boxed{V = 64 \, \text{cm}^3}", True),
        (mathverse("Volume $=64 \\mathrm{~cm}^{3}$"), r"\boxed{64 \text{ cm}^2}", False),
        (mathverse("Area $=24 \\mathrm{~cm}^{2}$"), r"\boxed{24\ \text{sq. cm}}", True),
        (mathverse("Area $=24 \\mathrm{~cm}^{2}$"), r"\boxed{24 cm²}", True),
        (mathvista("9.8", "float", precision=1), r"9.8\ \mathrm{m/s^2}", True),
        (mathvista("9.8", "float", precision=1), "9.8 m/s²", True),
        (mathvista("30", "integer"), r"\boxed{30 \text{ minutes}}", True),
        (mathvista("90", "integer"), r"90 \, \text{N} \cdot \text{m}", True),
        (mathvision("12"), r"\boxed{12 \text{ ways}}", True),
    ],
    "thousands and scale": [
        (chartqa("12345"), r"\boxed{12{,}345}", True),
        (chartqa("12345"), "12 345", True),
        (chartqa("12345"), r"12\,345", True),
        (chartqa("12345"), "12.345 thousand", True),
        (chartqa("12345"), r"1.2345 \times 10^4", True),
        (chartqa("12345"), "123,456", False),
        (chartqa("2154.3"), "2,154.3 million U.S. dollars", True),
        (chartqa("1.3"), r"\boxed{\$1.3 \text{ trillion}}", True),
        (chartqa("1500"), "$1.5K", True),
        (chartqa("8.6"), "8.6 mn", True),
        (chartqa("8.6"), "8.6 million people", True),
        (chartqa("8.6 million"), "8,600,000", True),
        (chartqa("8.6 million"), "8.6 billion", False),
        (mathvision("1000"), "10^3", True),
        (mathvision("1000"), "1,000", True),
    ],
    "currency": [
        (mathvista("15", "integer"), r"\boxed{\$15}", True),
        (mathvista("15", "integer"), r"\$15.00", True),
        (mathvista("15", "integer"), "15 USD", True),
        (mathvista("15", "integer"), "Rs. 15", True),
        (mathvista("15", "integer"), "₹15", True),
        (mathvista("15", "integer"), "15 €", True),
        (chartqa("$0.15"), "15 cents", True),
        (chartqa("$15"), "15", True),
        (chartqa("15"), "-$15", False),
        (chartqa("-15"), "-$15", True),
        (chartqa("-15"), r"\boxed{-\$15 \text{ million}}", True),
    ],
    "fraction, mixed number, ratio": [
        (mathverse("$\\frac{3}{4}$"), r"\boxed{0.75}", True),
        (mathverse("$\\frac{3}{4}$"), r"\boxed{\frac34}", True),
        (mathverse("$\\frac{3}{4}$"), r"\boxed{\tan A = \dfrac{3}{4}}", True),
        (mathverse("$\\frac{3}{4}$"), "three quarters", True),
        (mathverse("$\\frac{3}{4}$"), r"\boxed{\frac{4}{3}}", False),
        (mathverse("$\\frac{3}{4}$"), r"\boxed{-\frac{3}{4}}", False),
        (chartqa("0.25"), "one-fourth", True),
        (chartqa("0.25"), "1/4 of the total", True),
        (mathvista("2.5", "float", precision=1), r"\boxed{2\frac{1}{2}}", True),
        (mathvista("2.5", "float", precision=1), "2½", True),
        (mathvista("2.5", "float", precision=1), "two and a half", True),
        (mathvista("2.5", "float", precision=1), "2 and 1/2 hours", True),
        (mathvista("2.5", "float", precision=1), "21/2", False),
        (mathverse("3:2"), "3 : 2", True),
        (mathverse("3:2"), "3 to 2", True),
        (mathverse("3:2"), r"\boxed{\frac{3}{2}}", True),
        (mathverse("3:2"), r"\boxed{6:4}", True),
        (mathverse("3:2"), "2:3", False),
        (chartqa("1.5"), "The ratio of men to women is 3:2.", True),
        (chartqa("2"), "twice", True),
        (chartqa("3.5"), "3.5 times", True),
        (chartqa("3.5", "How many times higher is the blue bar?"), "about 3.5 times higher", True),
    ],
    "root, π, power": [
        (mathverse("$2 \\sqrt{5}$"), r"\boxed{\sqrt{20}}", True),
        (mathverse("$2 \\sqrt{5}$"), "2√5 ≈ 4.47", True),
        (mathverse("$2 \\sqrt{5}$"), r"\boxed{AB = 2\sqrt5 \text{ cm}}", True),
        (mathverse("$2 \\sqrt{5}$"), "2*sqrt(5)", True),
        (mathverse("$2 \\sqrt{5}$"), r"\boxed{2\sqrt{5}\text{ units}}", True),
        (mathverse("$2 \\sqrt{5}$"), r"\boxed{\sqrt{5}}", False),
        (mathverse("$2 \\sqrt{5}$"), r"\boxed{5\sqrt{2}}", False),
        (mathverse("$36 \\pi$"), "36π cm²", True),
        (mathverse("$36 \\pi$"), r"\boxed{36\pi \approx 113.1}", True),
        (mathverse("$36 \\pi$"), r"\boxed{36\pi \text{ square units}}", True),
        (mathverse("$36 \\pi$"), r"\boxed{36}", False),
        (mathvision("12"), r"\boxed{\frac{24}{2}}", True),
        (mathvision("12"), r"\boxed{12^2}", False),
    ],
    "degrees": [
        (mathverse("$45^{\\circ}$"), "45", True),
        (mathverse("$45^{\\circ}$"), r"\boxed{45 \text{ degrees}}", True),
        (mathverse("$45^{\\circ}$"), r"\boxed{\angle ABC = 45^\circ}", True),
        (mathverse("$45^{\\circ}$"), "m∠ABC = 45°", True),
        (mathverse("$45^{\\circ}$"), r"\boxed{45.0^{\circ}}", True),
        (mathverse("$45^{\\circ}$"), r"\boxed{\frac{\pi}{4} \text{ radians}}", True),
        (mathverse("$45^{\\circ}$"), r"\boxed{135^\circ}", False),
        (chartqa("21"), "21 °C", True),
        (chartqa("21"), "21 degrees Celsius", True),
        (ANGLE, r"\boxed{60^\circ}", True),
        (ANGLE, "60 degrees", True),
        (ANGLE, "120°", False),
    ],
    "equation": [
        (mathverse("$x=5$"), "5", True),
        (mathverse("$x=5$"), r"\boxed{x = 5}", True),
        (mathverse("$x=5$"), r"\boxed{x = -5}", False),
        (mathverse("$x=5$"), r"\boxed{x = 5 \text{ or } x = -5}", False),
        (mathverse("$y=2 x+1$"), r"\boxed{y = 1 + 2x}", True),
        (mathverse("$y=2 x+1$"), r"\boxed{2x - y + 1 = 0}", True),
        (mathverse("$y=2 x+1$"), r"\boxed{f(x) = 2x + 1}", True),
        (mathverse("$y=2 x+1$"), r"\boxed{2x + 1}", True),
        (mathverse("$y=2 x+1$"), r"\boxed{y = 2x - 1}", False),
        (mathvista("7", "integer"), r"\boxed{n = 7}", True),
        (mathvista("7", "integer"), r"3 + 4 = 7", True),
        (mathvista("7", "integer"), r"7 = 3 + 4", True),
    ],
    "interval, set, point": [
        (mathverse("$x \\geq -1$"), r"\boxed{[-1, \infty)}", True),
        (mathverse("$x \\geq -1$"), "x >= -1", True),
        (mathverse("$x \\geq -1$"), r"\boxed{-1 \leq x}", True),
        (mathverse("$x \\geq -1$"), r"\boxed{\{x \mid x \geq -1\}}", True),
        (mathverse("$x \\geq -1$"), r"\boxed{x > -1}", False),
        (mathverse("$x \\geq -1$"), "x is greater than or equal to -1", True),
        (mathverse("$(-\\infty, 3]$"), "x ≤ 3", True),
        (mathverse("$(-\\infty, 3]$"), r"\boxed{\{ x \in \mathbb{R} : x \le 3 \}}", True),
        (mathverse("$(-\\infty, 3]$"), r"\boxed{(-\infty, 3)}", False),
        (mathverse("All real numbers"), r"\boxed{(-\infty, \infty)}", True),
        (mathverse("$(-\\infty, \\infty)$"), r"\boxed{\text{all real numbers}}", True),
        (mathverse("$(3,-2)$"), r"\boxed{x = 3, \; y = -2}", True),
        (mathverse("$(3,-2)$"), r"\boxed{x = 3 \text{ and } y = -2}", True),
        (mathverse("$(3,-2)$"), "The vertex is (3, -2).", True),
        (mathverse("$(3,-2)$"), r"\boxed{P = (3, -2)}", True),
        (mathverse("$(3,-2)$"), r"\boxed{(-2, 3)}", False),
        (mathvista("[3, 5]", "list"), "3, 5", True),
        (mathvista("[3, 5]", "list"), "3 and 5", True),
        (mathvista("[3, 5]", "list"), r"\boxed{\{3, 5\}}", True),
        (mathvista("[3, 5]", "list"), "[3, 6]", False),
        (mathvista("[3, 5]", "list"), "3", False),
        (mathverse("$\\{1,2,3\\}$"), r"\boxed{\{3, 2, 1\}}", True),
        (mathverse("$\\{1,2,3\\}$"), r"\boxed{1, 2, 3}", True),
        (mathverse("$\\{1,2,3\\}$"), r"\boxed{\{1, 2\}}", False),
    ],
    "about, at least": [
        (chartqa("3.14"), "≈ 3.14", True),
        (chartqa("3.14"), "3.14 (approximately)", True),
        (chartqa("3.14"), "approx. 3.14", True),
        (chartqa("3.14"), r"\boxed{\sim 3.14}", True),
        (chartqa("3.14"), r"3.14\ldots", True),
        (chartqa("40"), "around 40%", True),
        (chartqa("40"), "close to 40%", True),
        (chartqa("40"), "more than 40%", False),
        (chartqa("40"), "at least 40", False),
        (chartqa("40"), "40 or 50", False),
        (chartqa("40"), "40-50%", False),
        (chartqa("40"), "not 40", False),
        (mathvision("12"), r"\boxed{\geq 12}", False),
    ],
    "count in words": [
        (mathvista("7", "integer"), "Seven", True),
        (mathvista("7", "integer"), "7 (seven)", True),
        (mathvista("7", "integer"), "seven apples", True),
        (mathvista("0", "integer"), "zero", True),
        (mathvista("0", "integer"), "None", True),
        (mathvista("0", "integer"), "There are no red cubes.", True),
        (chartqa("3", HOW_MANY), "3 of the 5 countries", True),
        (chartqa("3", HOW_MANY), "3 out of 5 countries", True),
        (chartqa("3", HOW_MANY), "Three: Spain, Italy and Greece", True),
        (chartqa("3", HOW_MANY), "3 (Spain, Italy, Greece)", True),
        (chartqa("3", HOW_MANY), "Spain, Italy, Greece", False),
        (chartqa("3", HOW_MANY), "two countries", False),
        (mathvista("21", "integer"), "twenty-one", True),
    ],
    "year, date, time": [
        (chartqa("2015"), "In the year 2015.", True),
        (chartqa("2015"), "2015 (34%)", True),
        (chartqa("2015"), "The peak was in 2015, at 62.3%.", True),
        (chartqa("2015"), "2014", False),
        (chartqa("2015"), "2014-2015", False),
        (chartqa("2015"), "2015 and 2016", False),
        (chartqa("Q2 2019"), "second quarter of 2019", True),
        (chartqa("Q2 2019"), "Q2 '19", True),
        (chartqa("Q2 2019"), "Q3 2019", False),
        (chartqa("Mar 2020"), "March 2020", True),
        (chartqa("Mar 2020"), "March 2021", False),
        (chartqa("Jan 15, 2021"), "January 15, 2021", True),
        (chartqa("Jan 15, 2021"), "15 January 2021", True),
        (chartqa("Jan 15, 2021"), "January 15th, 2021", True),
        (chartqa("Jan 15, 2021"), "January 16, 2021", False),
        (mathvision("14:30"), "2:30 PM", True),
        (mathvision("14:30"), "14:30", True),
        (mathvision("14:30"), "4:30", False),
        (chartqa("[2011, 2014]"), "2011, 2014", True),
        (chartqa("[2011, 2014]"), "In 2011 and 2014", True),
    ],
    "name": [
        (chartqa("United States"), "the U.S.", True),
        (chartqa("Côte d'Ivoire"), "Cote d'Ivoire", True),
        (chartqa("Bosnia and Herzegovina"), "Bosnia & Herzegovina", True),
        (chartqa("Trinidad and Tobago"), "Trinidad", False),
        (chartqa("South Africa"), "Africa", False),
        (chartqa("South Korea"), "North Korea", False),
        (chartqa("Germany"), "Germany (45%)", True),
        (chartqa("Germany"), "Germany: 45%", True),
        (chartqa("Germany"), "Germany, with 45%", True),
        (chartqa("Germany"), "It's Germany.", True),
        (chartqa("Germany"), "Germany and France", False),
        (chartqa("[Germany, France]"), "Germany and France", True),
        (chartqa("[Red, Blue]"), "Blue, Red", True),
        (chartqa("Light blue"), "the light-blue line", True),
        (chartqa("Orange"), r"\boxed{\text{Orange bar}}", True),
        (chartqa("Satisfied"), "Very satisfied", False),
        (chartqa("Male"), "Males", True),
        (chartqa("Facebook Messenger"), "Facebook", False),
        (chartqa("65+"), "65 and older", True),
        (chartqa("65+"), "65 years and over", True),
        (chartqa("18-24"), "18–24 years old", True),
        (chartqa("18-24"), "25-34", False),
        (chartqa("Less than $30,000"), "< $30,000", True),
        (chartqa("$30,000-$49,999"), r"\boxed{\$30,000 to \$49,999}", True),
        (chartqa("Don't know"), "Do not know", True),
        (chartqa("Don't know"), "Know", False),
        (chartqa("Dem/Lean Dem"), "Dem/Lean Dem", True),
        (chartqa("Hospitals & clinics"), "Hospitals and clinics", True),
    ],
    "yes or no": [
        (chartqa("Yes"), r"\boxed{\text{Yes, the blue line is above.}}", True),
        (chartqa("Yes"), "**Yes**", True),
        (chartqa("Yes"), "The answer is yes.", True),
        (chartqa("Yes"), "No, it is not", False),
        (chartqa("Yes"), "Yes/No", False),
        (chartqa("No"), "No. The share fell from 45% to 39%.", True),
        (chartqa("No"), "The statement is false.", True),
        (chartqa("No"), "The sum of the two is not greater than the third, so the answer is no.", True),
        (chartqa("No"), "Nobody", False),
        (IS_IT, r"\boxed{\text{B. No}}", True),
        (IS_IT, "(B)", True),
        (IS_IT, "No, the baseball players are taller.", True),
        (IS_IT, "A", False),
        (IS_IT, "yes", False),
    ],
    "sentence": [
        (chartqa("13"), "The difference is 45 - 32 = 13 percentage points.", True),
        (chartqa("12.4"), "From 2010 to 2015, the share rose by 12.4%.", True),
        (chartqa("15"), "The average is (12 + 15 + 18) / 3 = 15.", True),
        (chartqa("45.5"), "Adding the three values gives 45.5.", True),
        (chartqa("34", SHARE), "In 2019, 34% of women agreed, compared to 29% in 2018.", True),
        (chartqa("29", SHARE), "In 2019, 34% of women agreed, compared to 29% in 2018.", False),
        (chartqa("71"), "The share of 18-29 year olds who use it is 71%.", True),
        (chartqa("1.2"), "Around 1.2 billion people used it in 2019.", True),
        (chartqa("15"), "It grew from 20% to 35%, an increase of 15 percentage points.", True),
        (chartqa("35"), "It grew from 20% to 35%, an increase of 15 percentage points.", False),
        (chartqa("12.6"), "12.6 (2018: 11.2)", True),
        (chartqa("12.6"), "Value: 12.6%", True),
        (chartqa("45"), "Germany had the highest share with 45%.", True),
        (chartqa("Germany"), "Germany had the highest share with 45%.", True),
        (chartqa("Germany"), "With 45%, Germany had the highest share.", True),
        (chartqa("Germany"), "Germany leads with 45%, followed by France with 40%.", True),
        (chartqa("France"), "Germany leads with 45%, followed by France with 40%.", False),
        (chartqa("[Germany, France]"), "The two countries are Germany and France.", True),
        (chartqa("Other"), "The highest value belongs to the category 'Other'.", True),
        (chartqa("Spain"), "The line that crosses the others is that of Spain.", True),
        (chartqa("Spain"), "Spain's share is the smallest.", True),
        (chartqa("Spain"), "It is Italy that lies above Spain.", False),
        (mathvista("5", "integer"), "Subtracting 3 cubes from 8 leaves 5 cubes.", True),
        (mathvista("5", "integer"), "There are 8 cubes, 3 are removed, so 5 are left.", True),
        (mathvista("8", "integer"), "There are 8 cubes, 3 are removed, so 5 are left.", False),
        (mathvista("4", "integer"), "The age gap between the two persons is 4 years.", True),
        (mathvista("2", "integer"), "The rectangle is made up of 2 rows of 5 squares.", False),
    ],
    "abstention": [
        (mathvista("5", "integer"), "Unable to determine", False),
        (mathvista("0", "integer"), "Cannot be determined from the chart.", False),
        (chartqa("No"), "No answer", False),
        (chartqa("No"), "No information is given about this.", False),
        (IS_IT, "It is not possible to tell from the image.", False),
        (SIDES, "None of the above", False),
        (mathvision("E", OPTIONS), "Not enough information is given.", False),
    ],
    "choice": [
        (SIDES, r"\boxed{\text{(B)}\ 4\text{ cm}}", True),
        (SIDES, "B: 4 cm", True),
        (SIDES, "b)", True),
        (SIDES, "4", True),
        (SIDES, "4cm.", True),
        (SIDES, "40 mm", True),
        (SIDES, "Option (B)", True),
        (SIDES, "Choice B", True),
        (SIDES, "The correct option is B, since the triangles are similar.", True),
        (SIDES, "B or C", False),
        (SIDES, "Not B", False),
        (SIDES, "The answer is (C) 5 cm, not (B) 4 cm.", False),
        (LAST_SIDE, "The answer is (C) 5 cm, not (B) 4 cm.", True),
        (SIDES, "(A) is too short and (C) too long, so (B).", True),
        (PREY, "The number of owls would decrease.", True),
        (PREY, "The owls decrease", True),
        (PREY, "Owls increase.", False),
        (mathvision("C", OPTIONS), r"\boxed{\textbf{(C)}\ 18}", True),
        (mathvision("C", OPTIONS), r"\boxed{\text{C}}", True),
        (mathvision("C", OPTIONS), r"\boxed{18}", True),
        (mathvision("C", OPTIONS), r"\boxed{18 \text{ cm}}", True),
        (mathvision("C", OPTIONS), r"\boxed{\text{Option C: } 18}", True),
        (mathvision("C", OPTIONS), r"\boxed{x = 18}", True),
        (mathvision("C", OPTIONS), r"\boxed{C)18}", True),
        (mathvision("C", OPTIONS), r"\boxed{15}", False),
        (mathvision("C", OPTIONS), r"\boxed{D}", False),
    ],
    "letter": [
        (logicvista("B"), "The answer is B.", True),
        (logicvista("B"), r"\boxed{\text{Figure B}}", True),
        (logicvista("B"), "B) three circles", True),
        (logicvista("B"), "(b)", True),
        (logicvista("B"), "Neither A nor B", False),
        (logicvista("B"), "A and B", False),
        (logicvista("B"), "All except B", False),
        (logicvista("B"), "B, because A repeats the first row.", True),
        (logicvista("B"), "B is the odd one out; the others (A, C, D) are rotations.", True),
        (logicvista("A, C"), r"\boxed{A \text{ and } C}", True),
        (logicvista("A, C"), "Options C and A", True),
        (logicvista("A, C"), r"\boxed{\text{A, C}}", True),
        (logicvista("A, C"), "(A) and (C)", True),
        (logicvista("A, C"), "A", False),
        (logicvista("A, C"), "A, B, C", False),
    ],
}  # fmt: skip

NEAR = [
    (chartqa("2154.3"), "US$2.15 billion", True),
    (chartqa("49.2"), r"\boxed{\approx 50\%}", True),
    (chartqa("49.2"), "Around 48 million tons were sold in 2020.", True),
    (chartqa("49.2"), "53", False),
    (chartqa("0.48"), r"\boxed{\frac{1}{2}}", True),
]

TEXTS = [
    (SIDES, "The triangles are similar.\n\nTherefore, the correct answer is:\n\n**(B) 4 cm**", True),
    (SIDES, "The side is 4 cm long.\n\n**Answer:** B", True),
    (SIDES, "Hence option B is correct.", True),
    (SIDES, "So it cannot be 3 cm. The answer is (B).", True),
    (SIDES, "So the side measures 4 cm.", True),
    (SIDES, "We first look at option B. It is 4 cm, which is too short.\n\nThe answer is C.", False),
    (SIDES, "B. 4 cm\n\nExplanation: the hypotenuse is 5 cm and the other leg 3 cm.", True),
    (ANGLE, "The angles add up to 180°, so the third is 180° - 120° = 60°. The answer is C.", True),
    (ANGLE, "\\[ x = 180^\\circ - 120^\\circ = 60^\\circ \\]\n\nSo the angle is \\( 60^\\circ \\).", True),
    (mathvista("7", "integer"), "There are 10 objects. Removing 3 leaves:\n\\[ 10 - 3 = 7 \\]", True),
    (mathvista("7", "integer"), "Counting them: 1, 2, 3, 4, 5, 6, 7.\n\nSo, the total is **7**.", True),
    (mathvista("7", "integer"), "### Step 3\nSubtract.\n\n**Final answer:** 7 objects", True),
    (mathvista("7", "integer"), "The final answer is: $\\boxed{7}$. I hope it is correct.", True),
    (mathvista("7", "integer"), "There are 10 objects, of which", False),
    (mathvista("1.5", "float", precision=1), "Thus, the period is approximately 1.5 seconds.", True),
    (mathvista("1.5", "float", precision=1), "T = 2.94 / 1.96\n\nT ≈ 1.5 s", True),
    (mathvista("1.5", "float", precision=1), "The answer is 1.46.", True),
    (chartqa("Germany"), "Comparing all bars, the country with the highest share is **Germany**.", True),
    (chartqa("Germany"), "<think>France? No.</think>\nGermany", True),
    (chartqa("34"), "<think>34%?</think>\n<answer>\n34\n</answer>", True),
    (logicvista("B"), "The pattern rotates by 90° each time, so the next figure is B.", True),
    (logicvista("B"), "Let's look at each: A is too large, C is mirrored. Thus the right one is option B.", True),
    (logicvista("B"), "So the answer is D.", False),
    (mathverse("$2 \\sqrt{5}$"), "Thus, the length of AB is:\n\\[\n2\\sqrt{5}\n\\]", True),
    (mathverse("$45^{\\circ}$"), "Therefore, $\\angle ABC = 90^\\circ - 45^\\circ = 45^\\circ$.", True),
    (mathvision("12"), "Hence there are 3 · 4 = 12 such paths.", True),
    (mathvision("12"), "so there are 12 or 13 such paths.", False),
]

PAIRS = [
    *(Pair(kind, *one) for kind, some in KINDS.items() for one in some),
    *(Pair("within 5%", *one, near=True) for one in NEAR),
    *(Pair("end of a text", *one, form="text") for one in TEXTS),
]
