from amrbench.testing import make_batch, make_target


def test_made_up_targets_fit_their_batch():
    batch = make_batch()
    target = make_target(batch)
    assert not target.relevant[~batch.audio_mask].any()
    assert target.relevant.gather(1, target.positives).all()
    assert not target.relevant.gather(1, target.negatives).any()
    assert batch.audio_mask.gather(1, target.negatives).all()
    for row in range(len(batch.audio)):
        count = int(batch.audio_mask[row].sum())
        centres = [(frame + 0.5) / count for frame in range(count)]
        spans = target.spans[row][target.spans_mask[row]].tolist()
        relevant = [
            any(abs(position - centre) < width / 2 for centre, width in spans) for position in centres
        ]
        assert target.relevant[row, :count].tolist() == relevant
