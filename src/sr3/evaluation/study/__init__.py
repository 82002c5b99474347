"""A human's judgement: which of two pictures is the photograph?  SR3's two-alternative forced choice.

Saharia et al. (2021), section 4.2.1.  This part knows the pictures, the order of the trials, the answers and the fool
rate; the page that asks lies in `sr3.web.study`.
"""

from sr3.evaluation.study.answers import Answer, Study, rater_name, read_answers
from sr3.evaluation.study.pairs import Pairs, make_pairs, pixels_of, read_pairs
from sr3.evaluation.study.plan import QUESTIONS, SIDES, TASKS, Side, Task, Trial, plan
from sr3.evaluation.study.rates import Rate, fool_rates, summary, wilson

__all__ = [
    "QUESTIONS",
    "SIDES",
    "TASKS",
    "Answer",
    "Pairs",
    "Rate",
    "Side",
    "Study",
    "Task",
    "Trial",
    "fool_rates",
    "make_pairs",
    "pixels_of",
    "plan",
    "rater_name",
    "read_answers",
    "read_pairs",
    "summary",
    "wilson",
]
