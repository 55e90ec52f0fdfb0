"""Priors with peaks on the decoder's attention to frames."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from amrbench_plugins.ours.bimodal_prior import frame_centres, log_prior
from tests.plugins.moment_detr.small import batch
from tests.plugins.ours import small

NEAR = {"atol": 1e-5, "rtol": 0.0}


def prior_of(use="bimodal-gaussian", **options):
    return small.built("prior", use, **options)


def spans(*pairs):
    return torch.tensor([pairs])


def zero_content(count):
    return torch.zeros(1, count, 8)


def test_the_golden_case():
    golden = small.golden("bimodal_prior")
    centres = frame_centres(small.mask_of(golden["L"])).double()
    assert_close(centres[0], torch.tensor(golden["centre_grid"], dtype=torch.float64), rtol=0, atol=1e-7)
    windows = torch.tensor([[[golden["start"], golden["end"]]]], dtype=torch.float64)
    sigmas = torch.tensor([[[[golden["sigma_start"], golden["sigma_end"]]]]], dtype=torch.float64)
    exact = torch.tensor([golden["centre_grid"]], dtype=torch.float64)
    prior = log_prior(windows, sigmas, exact)[0, 0, 0]
    assert_close(prior, torch.tensor(golden["log_sum"], dtype=torch.float64), rtol=1e-10, atol=1e-12)


def test_the_mean_of_two_peaks_is_the_same_prior_as_their_sum():
    golden = small.golden("bimodal_prior")
    centres = torch.tensor([golden["centre_grid"]], dtype=torch.float64)
    windows = torch.tensor([[[golden["start"], golden["end"]]]], dtype=torch.float64)
    sigmas = torch.tensor([[[[golden["sigma_start"], golden["sigma_end"]]]]], dtype=torch.float64)
    prior = log_prior(windows, sigmas, centres)[0, 0, 0]
    mean = torch.tensor(golden["log_mean"], dtype=torch.float64)
    assert_close(prior - math.log(2), mean, rtol=1e-10, atol=1e-12)
    assert_close(prior.softmax(0), mean.softmax(0), rtol=1e-10, atol=0)


@pytest.mark.parametrize("relative_to", ["span", "recording"])
@pytest.mark.parametrize(("sigmas", "heads"), [("shared", 1), ("per-head", 2)])
def test_the_prior_equals_one_head_query_and_frame_at_a_time(relative_to, sigmas, heads):
    module = small.stirred(prior_of(relative_to=relative_to, sigmas=sigmas), 0.2)
    linear, lengths, mask = module.fraction.linear, (7, 4), small.mask_of(7, 4)
    anchors, content = torch.rand(2, 3, 2), torch.randn(2, 3, 8)
    logarithms = module(anchors, content, mask).detach()
    assert logarithms.shape == (2, heads, 3, 7)
    for row, length in enumerate(lengths):
        for query in range(3):
            centre, width = anchors[row, query].tolist()
            raw = (linear.weight @ content[row, query] + linear.bias).tolist()
            unit = width if relative_to == "span" else 1.0
            both = [math.hypot(math.log1p(math.exp(x)) * unit, 0.5 / length) for x in raw]
            for head in range(heads):
                start, end = both[2 * head : 2 * head + 2]
                for frame in range(length):
                    position = (frame + 0.5) / length
                    one = math.exp(-(((position - centre + width / 2) / start) ** 2) / 2)
                    other = math.exp(-(((position - centre - width / 2) / end) ** 2) / 2)
                    expected = max(math.log(max(one + other, 1e-300)), -30)
                    assert float(logarithms[row, head, query, frame]) == pytest.approx(expected, abs=1e-3)


def at_first(start, seconds, **options):
    """The prior (300,) of a span in a recording of 300 frames of a second, before training."""
    span = spans(((start + seconds / 2) / 300, seconds / 300))
    return prior_of(**options)(span, torch.randn(1, 1, 8), small.mask_of(300)).detach()[0, 0, 0]


STARTS = [100 + share / 10 for share in range(11)]
"""Where a span starts relative to frames: anywhere between two borders."""


@pytest.mark.parametrize("seconds", [4, 15, 60])
@pytest.mark.parametrize("start", STARTS)
def test_the_ends_of_a_span_are_two_peaks_at_first(start, seconds):
    prior = at_first(start, seconds)
    middle = start + seconds / 2
    dip = prior[math.floor(middle - 0.5) : math.ceil(middle + 0.5)].min()
    for end in (start, start + seconds):
        near = prior[math.floor(end - 0.5) : math.ceil(end + 0.5)].max()
        assert float(near - dip) >= 0.5, "nats"


@pytest.mark.parametrize("start", STARTS)
def test_a_span_of_a_second_is_one_peak_of_two_frames_at_most(start):
    prior = at_first(start, 1)
    high = (prior > prior.max() - 0.5).nonzero()[:, 0].tolist()
    assert high in ([high[0]], [high[0], high[0] + 1])
    assert all(abs(frame - start) < 1 for frame in high), "in the middle"
    rising = prior.diff()[: high[0]]
    assert bool((rising >= 0).all()), "it only rises before, and only falls after"
    assert bool((prior.diff()[high[-1] :] <= 0).all())


@pytest.mark.parametrize("seconds", [4, 15, 30])
def test_with_one_sigma_for_all_widths_short_spans_have_one_peak_in_the_middle(seconds):
    prior = at_first(100, seconds, sigma=0.1, relative_to="recording")
    assert abs(int(prior.argmax()) + 0.5 - (100 + seconds / 2)) <= 1


@pytest.mark.parametrize(
    ("use", "peak", "sigma"),
    [("gaussian", 150, 50), ("bimodal-gaussian", 100, 25), ("fixed-bimodal-gaussian", 100, 25)],
)
def test_the_first_sigma_is_a_share_of_the_span(use, peak, sigma):
    prior = at_first(100, 100, use=use)
    for frame in (peak - 2 * sigma, peak - sigma):
        expected = -(((peak - frame - 0.5) / sigma) ** 2) / 2
        assert float(prior[frame]) == pytest.approx(expected, abs=0.01)


def test_all_queries_of_one_width_are_equally_restricted_at_first():
    module = prior_of(sigma=0.2)
    anchors = spans((0.5, 0.9), (0.5, 0.9))
    prior = module(anchors, torch.randn(1, 2, 8), small.mask_of(100)).detach()
    assert prior[0, 0, 0].equal(prior[0, 0, 1])
    position, sigma = 0.305, math.hypot(0.2 * 0.9, 0.5 / 100)
    expected = -(((position - 0.05) / sigma) ** 2) / 2 + math.log1p(
        math.exp((((position - 0.05) / sigma) ** 2 - ((0.95 - position) / sigma) ** 2) / 2)
    )
    assert float(prior[0, 0, 0, 30]) == pytest.approx(expected, abs=1e-4)


def test_attention_heads_may_learn_a_sigma_each():
    module = small.built("prior", "bimodal-gaussian", sigmas="per-head")
    anchors, content, mask = spans((0.4, 0.3)), torch.randn(1, 1, 8), small.mask_of(20)
    first, second = module(anchors, content, mask)[0]
    assert first.equal(second), "alike at first"
    assert first.equal(prior_of()(anchors, content, mask)[0, 0])
    module(anchors, content, mask)[0, 1, 0, 3].backward()
    assert module.fraction.linear.bias.grad.ne(0).tolist() == [False, False, True, True]


@pytest.mark.parametrize("relative_to", ["span", "recording"])
def test_a_single_peak_is_at_the_centre(relative_to):
    module, mask = small.stirred(prior_of("gaussian", relative_to=relative_to), 0.2), small.mask_of(9)
    linear = module.fraction.linear
    anchors, content = spans((0.3, 0.2), (0.8, 0.5)), torch.randn(1, 2, 8)
    prior = module(anchors, content, mask).detach()
    for query in range(2):
        raw = (linear.weight[0] @ content[0, query] + linear.bias[0]).item()
        unit = anchors[0, query, 1].item() if relative_to == "span" else 1.0
        sigma = math.hypot(math.log1p(math.exp(raw)) * unit, 0.5 / 9)
        for frame in range(9):
            distance = (frame + 0.5) / 9 - anchors[0, query, 0].item()
            expected = max(-((distance / sigma) ** 2) / 2, -30)
            assert float(prior[0, 0, query, frame]) == pytest.approx(expected, abs=1e-3)
    wider = module(torch.cat([anchors[..., :1], 2 * anchors[..., 1:]], -1), content, mask)
    assert wider.equal(prior) == (relative_to == "recording")


@pytest.mark.parametrize("relative_to", ["span", "recording"])
def test_sigma_may_be_fixed(relative_to):
    options, mask = {"sigma": 0.2, "relative_to": relative_to}, small.mask_of(9)
    module = prior_of("fixed-bimodal-gaussian", **options)
    assert module.state_dict() == {}
    anchors, content = spans((0.3, 0.2)).requires_grad_(), torch.randn(1, 1, 8)
    prior = module(anchors, content, mask)
    assert_close(prior, prior_of(**options)(anchors, content, mask), **NEAR)  # at first
    prior.softmax(-1).pow(2).sum().backward()
    assert bool(anchors.grad.any())


@pytest.mark.parametrize("use", ["bimodal-gaussian", "gaussian", "fixed-bimodal-gaussian"])
def test_very_wide_peaks_are_no_prior(use):
    prior = prior_of(use, sigma=1000.0)(spans((0.3, 0.2)), zero_content(1), small.mask_of(9))
    assert_close(prior.softmax(-1), torch.full((1, 1, 1, 9), 1 / 9), **NEAR)


def test_time_backwards_swaps_the_two_peaks():
    module = small.stirred(prior_of(), 0.3)
    other = small.stirred(prior_of(), 0.3)
    with torch.no_grad():
        other.fraction.linear.weight.copy_(module.fraction.linear.weight.flip(0))
        other.fraction.linear.bias.copy_(module.fraction.linear.bias.flip(0))
    content, mask = torch.randn(1, 2, 8), small.mask_of(10)
    prior = module(spans((0.3, 0.2), (0.9, 0.1)), content, mask)
    mirrored = other(spans((0.7, 0.2), (0.1, 0.1)), content, mask)
    assert_close(mirrored.flip(-1), prior, rtol=0, atol=1e-3)


def test_a_span_moved_by_frames_moves_the_prior():
    module, mask = prior_of(), small.mask_of(20)
    near, far = module(spans((0.3, 0.2), (0.45, 0.2)), zero_content(2), mask)[0, 0]
    assert_close(far[3:], near[:-3], rtol=0, atol=1e-4)


def test_padding_and_other_samples_change_nothing():
    module = small.stirred(prior_of(), 0.3)
    anchors, content = torch.rand(2, 3, 2), torch.randn(2, 3, 8)
    both = module(anchors, content, small.mask_of(26, 9))
    alone = module(anchors[1:], content[1:], small.mask_of(9))
    assert_close(both[1:, ..., :9], alone, **NEAR)


@pytest.mark.parametrize("span", [(0.0, 0.0), (1.0, 0.0), (0.5, 0.0), (0.0, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("raw", [-100.0, 0.0, 100.0])
def test_extreme_spans_and_sigmas_are_finite(span, raw):
    module = prior_of()
    torch.nn.init.constant_(module.fraction.linear.bias, raw)
    anchors = spans(span).requires_grad_()
    prior = module(anchors, zero_content(1), small.mask_of(300))
    prior.softmax(-1)[..., 0].sum().backward()
    assert bool(prior.isfinite().all() and anchors.grad.isfinite().all())
    assert bool(module.fraction.linear.bias.grad.isfinite().all())
    assert float(prior.detach().min()) >= -30


def test_a_gradient_towards_frames_away_from_the_ends_widens_the_peaks():
    for frame, widens in ((4, True), (10, False)):
        module = prior_of(sigma=0.05, relative_to="recording")
        # The span begins and ends at the centres of frames 10 and 14.
        prior = module(spans((0.625, 0.2)), zero_content(1), small.mask_of(20))
        prior.log_softmax(-1)[0, 0, 0, frame].backward()
        assert bool(module.fraction.linear.bias.grad[0] > 0) == widens


def test_content_and_anchors_learn():
    module, content = prior_of(), torch.randn(1, 2, 8)
    anchors = spans((0.3, 0.2), (0.6, 0.3)).requires_grad_()
    module(anchors, content, small.mask_of(9)).softmax(-1).pow(2).sum().backward()
    assert small.without_gradient(module) == []
    assert bool(anchors.grad.all())


def test_half_precision_is_computed_in_float32():
    module, mask = prior_of(), small.mask_of(300)
    anchors = spans((0.503, 0.013))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prior = module(anchors, zero_content(1), mask)
    assert prior.equal(module(anchors, zero_content(1), mask))
    assert module.bfloat16()(anchors, zero_content(1).bfloat16(), mask).dtype == torch.bfloat16


def test_every_layer_has_a_prior_of_its_own_spans():
    model = small.model(decoder={"use": "dab", "layers": 3, "prior": "bimodal-gaussian"})
    priors, seen = [layer.prior for layer in model.decoder.layers], []
    assert len({id(prior.fraction.linear) for prior in priors}) == 3
    for prior in priors:
        prior.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    decoded = []
    model.decoder.register_forward_hook(lambda module, inputs, output: decoded.append(output.anchors))
    with torch.no_grad():
        model.decode(model.encode(batch()))
    assert torch.stack(seen).equal(decoded[0])
    assert small.gap(seen[0], seen[1]) > 1e-3


@pytest.mark.parametrize("use", ["bimodal-gaussian", "gaussian"])
def test_a_first_sigma_of_zero_is_refused(use):
    with pytest.raises(ValidationError) as error:
        small.part("prior", use, sigma=0)
    assert "Input should be greater than 0, not 0." in str(error.value)
