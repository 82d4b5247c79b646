"""A stack of EVA-02 blocks with a learned table of positions beside the rotary ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl3d.geometry import Triple, product
from ssl3d.sparse import FeatureMap
from ssl3d.sparse.layers import rising
from ssl3d.weights.adapt import resized_positions
from ssl3d_plugins.primus.block import Block
from ssl3d_plugins.primus.rotary import turns
from ssl3d_plugins.primus.tokens import Tokens, like, rows_of


class EvaStack(nn.Module):
    """Adds positions, then blocks and a norm. Registers: none, as in Primus.

    Source: `Eva` of dynamic_network_architectures 0.4.4, whose names it keeps.

    Args:
        width: channels, C.
        depth: blocks.
        heads: attention heads.
        grid: tokens of the table per axis, (z, y, x).
        drop_path: of the last block; it grows from 0 over the blocks.
    """

    def __init__(
        self, width: int, *, depth: int, heads: int, grid: Triple, drop_path: float
    ) -> None:
        super().__init__()
        self.grid = grid
        self.channels = width // heads
        self.pos_embed = nn.Parameter(torch.empty(1, product(grid), width))
        rates = rising(drop_path, blocks=depth)
        self.blocks = nn.ModuleList(Block(width, heads=heads, drop_path=rate) for rate in rates)
        self.norm = nn.LayerNorm(width)
        self._initialise()

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input; tokens that are hidden are neither read nor made."""
        tokens = Tokens.of(x)
        rows = rows_of(x) + self.positions(tokens)
        by = turns(tokens.places, channels=self.channels, dtype=rows.dtype)
        for block in self.blocks:
            rows = block(rows, tokens=tokens, by=by)
        return like(x, self.norm(rows))

    def positions(self, tokens: Tokens) -> Tensor:
        """(T, C): the entries of tokens, of the table as it is or interpolated for their grid."""
        table: Tensor = self.pos_embed
        if tokens.grid != self.grid:
            table = resized_positions(table, grids=(self.grid, tokens.grid))
        return table[0].index_select(0, tokens.rows)

    def _initialise(self) -> None:
        """Normal of deviation 0.02, biases 0; each block's last maps less the deeper it is."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for number, block in enumerate(self.blocks, start=1):
            assert isinstance(block, Block)
            with torch.no_grad():
                block.attn.proj.weight.div_((2 * number) ** 0.5)
                block.mlp.fc2.weight.div_((2 * number) ** 0.5)
