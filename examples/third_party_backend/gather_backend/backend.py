"""The backend `gather`: one product for each place of a kernel."""

import torch
from torch import Tensor

from ssl3d.geometry import Operation, product, quotient
from ssl3d.precision import as_autocast, at_least_single
from ssl3d.sparse import SparseVolume
from ssl3d.sparse.local import LocalBackend
from ssl3d.sparse.pool import pool
from ssl3d.sparse.tables import kernel_rows


class GatherBackend(LocalBackend):
    """What stays inside a cell is the base's; here are convolutions that look past one."""

    def across(
        self, x: SparseVolume, op: Operation, weight: Tensor | None, bias: Tensor | None
    ) -> SparseVolume:
        """A convolution or a transposed one, with any groups."""
        if weight is None:
            return pool(x, op)
        stride, groups, down = op.result_stride(x.stride), op.groups, op.kind == "conv3d"
        edge = quotient(x.cells.cell, stride)  # sites of a cell in the result
        # For each place the fine sites that coarse ones meet; the row past the last is nowhere.
        places = x.cells.table(kernel_rows, edge=x.edge if down else edge, op=op.footprint)
        coarse = torch.arange(places.shape[1], device=places.device)
        sites = at_least_single(x.sites).unflatten(1, (groups, -1))
        sites = torch.cat([sites, torch.zeros_like(sites[:1])])
        taps = at_least_single(weight).flatten(2).unflatten(0, (groups, -1)).unbind(-1)
        rows = sites.new_zeros(x.cells.n * product(edge) + 1, groups, op.channels[1] // groups)
        with torch.autocast(sites.device.type, enabled=False):
            for fine, tap in zip(places, taps, strict=True):
                given, to = (fine, coarse) if down else (coarse, fine)
                pattern = "rgi,goi->rgo" if down else "rgi,gio->rgo"
                rows.index_add_(0, to, torch.einsum(pattern, sites.index_select(0, given), tap))
        y = rows[:-1].flatten(1) + (0 if bias is None else bias.to(rows.dtype))
        return x.with_features(as_autocast(y), stride=stride)
