# What each program reads of a recipe. No rule here.
from mmr1.benchmarks.settings import Verifying
from mmr1.data.settings import CardSettings, CurationSettings, SearchSettings
from mmr1.grpo.settings import GradientSettings, SignalSettings, TrainerSettings
from mmr1.rollout.settings import AskSettings, GenerateSettings
from mmr1.sft.settings import SFTTrainerSettings
from mmr1.vas.settings import (
    DrawSettings,
    RefreshSettings,
    ReplaySettings,
    ScoreMachine,
    ScoringSettings,
)

# What every program that computes with a model is told, besides its section.
DETERMINISTIC = {"deterministic": RECIPE.deterministic}


def with_deepspeed(section):
    """A trainer's settings with the content of its DeepSpeed file in place of the path: content is what counts."""
    if section.deepspeed is None or isinstance(section.deepspeed, dict):
        return section
    return section.model_copy(update={"deepspeed": read_json(section.deepspeed)})


def score_settings(sections):
    """How scores are made, by as many workers as the job has threads where the recipe does not say."""
    workers = sections.vas.machine.workers or sections.stage_resources("score").threads
    refresh = sections.vas.refresh
    return taken(
        ScoringSettings,
        sections.vas,
        machine=ScoreMachine(workers=workers),
        refresh=refresh if hasattr(refresh.module, "follow") else None,
    )


def verdict_settings(sections):
    """How responses are judged whose scores nobody reads: as in training, with the cheapest diversity."""
    return ScoringSettings(
        diversity="distinct_1",
        verify_seconds=sections.grpo.verify_seconds,
        machine=score_settings(sections).machine,
    )


def truth_settings(sections):
    """How the responses are made that say which groups vary: as in training, by the engine of rollouts."""
    grpo, asked = sections.grpo, RECIPE.counterfactual
    if asked.truth < grpo.group_size:
        refuse(
            f"counterfactual.truth: expected at least grpo.group_size ({grpo.group_size}), found {asked.truth}"
        )
    return sampler_settings(
        sections,
        n=asked.truth + asked.new,
        temperature=grpo.temperature,
        top_p=grpo.top_p,
        max_tokens=grpo.max_response_tokens,
        max_prompt_tokens=grpo.max_prompt_tokens,
        min_pixels=grpo.min_pixels,
        max_pixels=grpo.max_pixels,
    )


def queue_factor(sections):
    """How many batches a step's schedule lists: more than one where the gate may pass groups over."""
    gate = sections.grpo.gate
    return gate.module.batches(gate.settings)


def generate_settings(sections):
    """How a problem's rollouts for its score are made."""
    return sampler_settings(
        sections,
        n=sections.vas.samples,
        temperature=sections.vas.temperature,
        top_p=sections.vas.top_p,
        max_tokens=sections.rollout.max_tokens,
    )


def evaluation_responses(sections):
    """Which responses of a checkpoint are asked for in an evaluation."""
    wanted = {"n", "temperature", "top_p", "max_tokens"}
    return sections.evaluation.model_dump(include=wanted)


def prediction_settings(sections):
    """How the predictions of an evaluation are made."""
    return sampler_settings(sections, **evaluation_responses(sections))


def sampler_settings(sections, **responses):
    """The settings of `generate.py`: the recipe's engine and bounds, and the responses that are wanted of it."""
    position = sections.prompts.position
    return taken(
        GenerateSettings,
        sections.rollout,
        prompt_position=position,
        **DETERMINISTIC,
        **responses,
    )


def verifying_settings(sections):
    """How rules decide about responses, by as many workers as the job has threads unless the recipe says."""
    threads = sections.stage_resources("score").threads
    machine = {"workers": sections.evaluation.machine.workers or threads}
    return taken(Verifying, sections.evaluation, machine=machine)


def ask_settings(sections):
    """How an endpoint is asked in an evaluation."""
    return AskSettings(
        prompt_position=sections.prompts.position, **evaluation_responses(sections)
    )


def judge_settings(sections):
    """How a judge that runs here makes its replies: greedily, one for each question."""
    judge = sections.evaluation.judge
    engine = judge.engine or RECIPE.rollout.engine
    return taken(GenerateSettings, judge, engine=engine, temperature=0, **DETERMINISTIC)


def ask_judge_settings(sections):
    """How a served judge is asked for the same."""
    retries = {"retries": sections.evaluation.machine.judge_retries}
    return taken(AskSettings, sections.evaluation.judge, temperature=0, machine=retries)


def draw_settings(sections):
    """How the problems of a step are chosen."""
    return taken(
        DrawSettings,
        sections.vas,
        sections.schedule,
        queue_factor=queue_factor(sections),
    )


def observes(sections):
    """Whether the problems of a step are chosen while training, so that no schedule is drawn before the round."""
    return sections.schedule.sampler.module.Sampler.observes


def needs_scores(sections):
    """Whether problems are drawn by the scores of a round."""
    return sections.schedule.sampler.module.Sampler.needs_scores(
        draw_settings(sections)
    )


def trainer_settings(sections):
    """How a round is trained, with the sampler that is asked on the way, if it is."""
    draw = draw_settings(sections) if observes(sections) else None
    return taken(
        TrainerSettings, with_deepspeed(sections.grpo), draw=draw, **DETERMINISTIC
    )


def sft_settings(sections):
    """How the cold start is trained."""
    return taken(SFTTrainerSettings, with_deepspeed(sections.sft), **DETERMINISTIC)


# What each program reads of a recipe's sections, as the model that it declares.
SETTINGS = {
    "describe_data": lambda sections: taken(
        CardSettings,
        RECIPE.grpo,
        source=RECIPE.data.source,
        near_duplicates=RECIPE.data.near_duplicates,
        prompt_position=RECIPE.prompts.position,
    ),
    "curate": lambda sections: taken(CurationSettings, RECIPE.curation),
    "curate_responses": lambda sections: sampler_settings(
        sections,
        max_tokens=sections.rollout.max_tokens,
        n=RECIPE.curation.samples,
        temperature=RECIPE.curation.temperature,
        top_p=RECIPE.curation.top_p,
    ),
    "counterfactual": lambda sections: taken(
        ReplaySettings, sections.grpo, RECIPE.counterfactual
    ),
    "counterfactual_responses": truth_settings,
    "counterfactual_verdicts": verdict_settings,
    "find_duplicates": lambda sections: SearchSettings(
        machine={"workers": RECIPE.stage_resources("data").threads}
    ),
    "prepare_data": lambda sections: RECIPE.preparation(),
    "score_vps": score_settings,
    "draw_schedule": draw_settings,
    "select_problems": lambda sections: taken(RefreshSettings, sections.vas),
    "train_sft": sft_settings,
    "train_grpo": trainer_settings,
    "measure_gradients": lambda sections: taken(
        GradientSettings, sections.grpo, **DETERMINISTIC
    ),
    "measure_signal": lambda sections: taken(
        SignalSettings,
        sections.grpo,
        batch_size=sections.schedule.batch_size,
        mix=sections.vas.mix,
        **DETERMINISTIC,
    ),
    "generate": generate_settings,
    "generate_predictions": prediction_settings,
    "ask_endpoint": ask_settings,
    "select_undecided": verifying_settings,
    "judge": judge_settings,
    "ask_judge": ask_judge_settings,
    "score_benchmark": verifying_settings,
}
