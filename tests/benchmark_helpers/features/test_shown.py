"""What a network is shown: a batch in one piece of memory."""

import pytest
import torch

from brainscore_vision.benchmark_helpers.stimulus_kernels.features import shown


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8"])
def test_a_batch_is_what_torch_stacks(dtype):
    images = [torch.rand(3, 5, 7).mul(200).to(getattr(torch, dtype)).transpose(1, 2) for _ in range(4)]
    batch = shown._stacked(images)
    assert batch.dtype == images[0].dtype
    assert torch.equal(batch, torch.stack(images))
    assert batch.data_ptr() % shown.ALIGNMENT == 0
