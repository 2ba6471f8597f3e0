"""Which loads are asked for which model."""

from typing import get_args

import pytest

from appliance.errors import BadInput
from appliance.model.documents.bench import Load
from appliance.model.serving.profile import ServingProfile
from appliance.model.serving.tasks import Task
from appliance.steps.bench.plan import FULL, QUICK, Climb, Wanted, climbs


def profile(task: Task = "chat", *, most: int = 4096, runs: int = 16, queue: int = 64) -> ServingProfile:
    return ServingProfile(
        weights="w",
        image="i",
        task=task,
        gpus=0,
        max_model_len=most,
        enable_prefix_caching=True,
        enable_chunked_prefill=True,
        max_num_seqs=runs,
        max_num_queued_reqs=queue,
    )


def forms(found: tuple[Climb, ...]) -> list[tuple[int, int, bool, int]]:
    first = [climb[0] for climb in found]
    return [(load.prompt_tokens, load.output_tokens, load.shared_prefix, load.inputs) for load in first]


def steps(climb: Climb) -> list[int]:
    return [load.concurrency for load in climb]


def test_a_chat_model_climbs_beyond_what_runs_and_waits_with_short_and_long_prompts_apart_and_shared() -> None:
    found = climbs(Wanted(), "chat", profile())
    assert forms(found) == [(128, 64, False, 1), (128, 64, True, 1), (3628, 64, False, 1), (3628, 64, True, 1)]
    assert {tuple(steps(climb)) for climb in found} == {(1, 2, 4, 8, 16, 32, 64, 80, 90)}


@pytest.mark.parametrize("task", ["embedding", "rerank"])
def test_a_model_that_writes_nothing_is_asked_for_one_input_and_for_many(task: Task) -> None:
    found = climbs(Wanted(), task, profile(task, most=256))
    assert forms(found) == [(64, 0, False, 1), (64, 0, False, 16), (230, 0, False, 1), (230, 0, False, 16)]


@pytest.mark.parametrize(
    ("runs", "queue", "expected"),
    [
        (1, 1, [1, 2, 4]),
        (12, 4, [1, 2, 4, 8, 12, 16, 18]),
        (128, 256, [1, 2, 4, 8, 16, 32, 64, 128, 256, 384, 432]),
        (4096, 100_000, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]),
    ],
)
def test_what_runs_at_once_and_what_waits_are_steps(runs: int, queue: int, expected: list[int]) -> None:
    assert steps(climbs(Wanted(), "chat", profile(runs=runs, queue=queue))[0]) == expected


def test_quick_takes_five_steps() -> None:
    found = climbs(Wanted(quick=True), "chat", profile())
    assert [(*form, *steps(climb)) for form, climb in zip(forms(found), found, strict=True)] == [
        (128, 64, False, 1, 1, 4, 16),
        (1024, 64, False, 1, 4),
        (1024, 64, True, 1, 4),
    ]
    found = climbs(Wanted(quick=True), "embedding", profile("embedding", most=256))
    assert [(*form, *steps(climb)) for form, climb in zip(forms(found), found, strict=True)] == [
        (64, 0, False, 1, 1, 4, 16),
        (64, 0, False, 16, 4),
        (230, 0, False, 1, 4),
    ]


def test_quick_ends_within_two_minutes() -> None:
    assert QUICK.whole is not None
    assert QUICK.whole < 120
    assert FULL.whole is None
    assert 5 * (QUICK.step + QUICK.grace) < QUICK.whole


def test_what_was_asked_for_by_hand_is_taken() -> None:
    found = climbs(Wanted(concurrency=(3, 5), prompt_tokens=(200,), output_tokens=10), "chat", profile())
    assert forms(found) == [(200, 10, False, 1), (200, 10, True, 1)]
    assert steps(found[0]) == [3, 5]


def test_no_load_is_asked_twice() -> None:
    for wanted in (Wanted(), Wanted(quick=True), Wanted(quick=True, prompt_tokens=(100,))):
        for task in get_args(Task):
            loads: list[Load] = [load for climb in climbs(wanted, task, profile(runs=1)) for load in climb]
            assert len(loads) == len(set(loads))


@pytest.mark.parametrize("most", [16, 64, 100, 1000])
def test_prompts_and_answers_fit_a_small_model(most: int) -> None:
    for climb in climbs(Wanted(most=most), "chat", None):
        assert climb[0].prompt_tokens + climb[0].output_tokens <= most


def test_a_prompt_that_cannot_fit_is_refused() -> None:
    with pytest.raises(BadInput) as refused:
        climbs(Wanted(prompt_tokens=(4090,)), "chat", profile())
    assert refused.value.reference == "prompt-too-long"
