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
    sigmas = torch.tensor([[[golden["sigma_start"], golden["sigma_end"]]]], dtype=torch.float64)
    exact = torch.tensor([golden["centre_grid"]], dtype=torch.float64)
    prior = log_prior(windows, sigmas, exact)[0, 0]
    assert_close(prior, torch.tensor(golden["log_sum"], dtype=torch.float64), rtol=1e-10, atol=1e-12)


def test_the_mean_of_two_peaks_is_the_same_prior_as_their_sum():
    golden = small.golden("bimodal_prior")
    centres = torch.tensor([golden["centre_grid"]], dtype=torch.float64)
    windows = torch.tensor([[[golden["start"], golden["end"]]]], dtype=torch.float64)
    sigmas = torch.tensor([[[golden["sigma_start"], golden["sigma_end"]]]], dtype=torch.float64)
    prior = log_prior(windows, sigmas, centres)[0, 0]
    mean = torch.tensor(golden["log_mean"], dtype=torch.float64)
    assert_close(prior - math.log(2), mean, rtol=1e-10, atol=1e-12)
    assert_close(prior.softmax(0), mean.softmax(0), rtol=1e-10, atol=0)


def test_the_prior_equals_one_query_and_frame_at_a_time():
    module = small.stirred(prior_of(), 0.2)
    lengths, mask = (7, 4), small.mask_of(7, 4)
    anchors, content = torch.rand(2, 3, 2), torch.randn(2, 3, 8)
    logarithms = module(anchors, content, mask).detach()
    assert logarithms.shape == (2, 1, 3, 7)
    for row, length in enumerate(lengths):
        for query in range(3):
            centre, width = anchors[row, query].tolist()
            raw = (module.sigma.linear.weight @ content[row, query] + module.sigma.linear.bias).tolist()
            start, end = (0.005 + math.log1p(math.exp(x)) for x in raw)
            for frame in range(length):
                position = (frame + 0.5) / length
                one = math.exp(-(((position - centre + width / 2) / start) ** 2) / 2)
                other = math.exp(-(((position - centre - width / 2) / end) ** 2) / 2)
                expected = max(math.log(max(one + other, 1e-300)), -30)
                assert float(logarithms[row, 0, query, frame]) == pytest.approx(expected, abs=1e-3)


def test_all_peaks_are_equally_wide_at_first():
    module = prior_of(sigma=0.2)
    anchors = spans((0.5, 0.9), (0.5, 0.9))
    prior = module(anchors, torch.randn(1, 2, 8), small.mask_of(100)).detach()
    assert prior[0, 0, 0].equal(prior[0, 0, 1])
    position = 0.305
    expected = -(((position - 0.05) / 0.2) ** 2) / 2 + math.log1p(
        math.exp((((position - 0.05) / 0.2) ** 2 - ((0.95 - position) / 0.2) ** 2) / 2)
    )
    assert float(prior[0, 0, 0, 30]) == pytest.approx(expected, abs=1e-4)


def test_a_single_peak_is_at_the_centre():
    module, mask = small.stirred(prior_of("gaussian"), 0.2), small.mask_of(9)
    anchors, content = spans((0.3, 0.2), (0.8, 0.5)), torch.randn(1, 2, 8)
    prior = module(anchors, content, mask).detach()
    for query in range(2):
        raw = (module.sigma.linear.weight[0] @ content[0, query] + module.sigma.linear.bias[0]).item()
        sigma = 0.005 + math.log1p(math.exp(raw))
        for frame in range(9):
            distance = (frame + 0.5) / 9 - anchors[0, query, 0].item()
            expected = max(-((distance / sigma) ** 2) / 2, -30)
            assert float(prior[0, 0, query, frame]) == pytest.approx(expected, abs=1e-3)
    wider = module(torch.cat([anchors[..., :1], 2 * anchors[..., 1:]], -1), content, mask)
    assert wider.equal(prior), "the width of the span does not matter"


def test_sigma_may_be_fixed():
    module, mask = prior_of("fixed-bimodal-gaussian", sigma=0.2), small.mask_of(9)
    assert module.state_dict() == {}
    anchors, content = spans((0.3, 0.2)).requires_grad_(), torch.randn(1, 1, 8)
    prior = module(anchors, content, mask)
    assert_close(prior, prior_of(sigma=0.2)(anchors, content, mask), **NEAR)  # at first
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
        other.sigma.linear.weight.copy_(module.sigma.linear.weight.flip(0))
        other.sigma.linear.bias.copy_(module.sigma.linear.bias.flip(0))
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
    torch.nn.init.constant_(module.sigma.linear.bias, raw)
    anchors = spans(span).requires_grad_()
    prior = module(anchors, zero_content(1), small.mask_of(300))
    prior.softmax(-1)[..., 0].sum().backward()
    assert bool(prior.isfinite().all() and anchors.grad.isfinite().all())
    assert bool(module.sigma.linear.bias.grad.isfinite().all())
    assert float(prior.detach().min()) >= -30


def test_a_gradient_towards_frames_away_from_the_ends_widens_the_peaks():
    for frame, widens in ((4, True), (10, False)):
        module = prior_of(sigma=0.05)
        # The span begins and ends at the centres of frames 10 and 14.
        prior = module(spans((0.625, 0.2)), zero_content(1), small.mask_of(20))
        prior.log_softmax(-1)[0, 0, 0, frame].backward()
        assert bool(module.sigma.linear.bias.grad[0] > 0) == widens


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
    assert len({id(prior.sigma.linear) for prior in priors}) == 3
    for prior in priors:
        prior.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    decoded = []
    model.decoder.register_forward_hook(lambda module, inputs, output: decoded.append(output.anchors))
    with torch.no_grad():
        model.decode(model.encode(batch()))
    assert torch.stack(seen).equal(decoded[0])
    assert small.gap(seen[0], seen[1]) > 1e-3


@pytest.mark.parametrize("use", ["bimodal-gaussian", "gaussian"])
def test_a_first_sigma_at_the_smallest_is_refused(use):
    with pytest.raises(ValidationError) as error:
        small.part("prior", use, sigma=0.005)
    assert "Input should be greater than 0.005, not 0.005." in str(error.value)
