import numpy as np

from pipeline.data.pooled import PooledRows
from pipeline.data.stream import Stream, StreamPart


def test_a_slice_is_that_of_the_array_it_stands_for(tmp_path):
    values = np.random.default_rng(0).normal(size=(9, 4, 3)).astype(np.float32)
    stream = Stream(name="static", parts=(StreamPart(path=tmp_path, values=values),))
    rows = np.array([7, 0, 3, 3])
    pooled = PooledRows(stream=stream, rows=rows)
    assert pooled.shape == (4, 3)
    np.testing.assert_array_equal(pooled[1:3], stream.pooled(rows)[1:3])
    np.testing.assert_array_equal(pooled[:], stream.pooled(rows))
