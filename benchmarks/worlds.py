"""Difficulty of the synthetic worlds: what matching without and with learning reaches.

Each figure is mAP / rank-1 in percent, the mean over the seeds. Baselines in the same run: raw
pixels, colour histograms and, across spectra, features at random. Networks are trained from scratch
for a number of CPU seconds on one thread. Cross-modal figures are IR to RGB and back, all cameras,
every image in the gallery; as in SYSU-MM01, camera 2 does not count as a hit for camera 3.

The bands are those that a world has to keep when the generator changes.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from reid.data.synthetic import WorldSpec, schedule
from reid.data.synthetic.render import Scene

Indices = NDArray[np.int64]
Features = NDArray[np.float64]
Score = tuple[float, float]

SAME_ROOM = (2, 3)
"""Cameras of SYSU-MM01 that look at one room, by day and in the dark."""


@dataclass(frozen=True)
class Pictures:
    """A world in memory: pixels [N, H, W, 3] and, for each image, who, where and which split."""

    pixels: NDArray[np.uint8]
    person: Indices
    camera: Indices
    infrared: NDArray[np.bool_]
    split: NDArray[np.str_]


def load(spec: WorldSpec) -> Pictures:
    """Paint a world; junk is left out, distractors are person 0 in the gallery."""
    scene, rows, pixels = Scene(spec), [], []
    for shot in (shot for shot in schedule(spec) if shot.key.kind != "junk"):
        key = shot.key
        with Image.open(BytesIO(scene.render(key).jpeg)) as picture:
            pixels.append(np.asarray(picture))
        infrared = spec.is_infrared(key.camera)
        train = key.kind == "person" and key.number <= spec.counts.train_ids
        query = infrared if spec.kind == "cross_modal" else shot.file.startswith("query")
        split = "train" if train else "query" if query else "gallery"
        rows.append((key.number if key.kind == "person" else 0, key.camera, infrared, split))
    person, camera, spectrum, splits = zip(*rows, strict=True)
    return Pictures(
        np.stack(pixels), np.array(person), np.array(camera), np.array(spectrum), np.array(splits)
    )


def score(features: Features, world: Pictures, query: Indices, gallery: Indices) -> Score:
    """Mean AP and rank-1 in percent by cosine, without images of the same person and place."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    person, camera = world.person, world.camera
    precisions, firsts = [], []
    for row in query:
        near = camera[gallery] == camera[row]
        if world.infrared.any():
            near = np.isin(camera[gallery], SAME_ROOM) & (camera[row] in SAME_ROOM)
        kept = gallery[~(near & (person[gallery] == person[row]))]
        order = np.argsort(-unit[kept] @ unit[row], kind="stable")
        matches = person[kept[order]] == person[row]
        if not matches.any():
            continue
        hits = np.flatnonzero(matches) + 1
        precisions.append(float((np.arange(1, len(hits) + 1) / hits).mean()))
        firsts.append(float(matches[0]))
    return 100 * float(np.mean(precisions)), 100 * float(np.mean(firsts))


def raw_pixels(world: Pictures, mode: str = "RGB") -> Features:
    """24 x 48 pixels with the mean of each image removed."""
    pictures = (Image.fromarray(image).convert(mode) for image in world.pixels)
    small = [np.asarray(one.resize((24, 48), Image.Resampling.BILINEAR)) for one in pictures]
    flat = np.stack(small).reshape(len(small), -1).astype(np.float64)
    return np.asarray(flat - flat.mean(1, keepdims=True))


def strip_histograms(world: Pictures) -> Features:
    """HSV histograms of 8 x 4 x 4 bins in six strips of the central half, square root."""
    rows = []
    for image in world.pixels:
        pixels = np.asarray(Image.fromarray(image).convert("HSV")).astype(np.int64)
        width = pixels.shape[1]
        hue, saturation, value = np.moveaxis(pixels[:, width // 4 : width - width // 4], -1, 0)
        bins = hue // 32 * 16 + saturation // 64 * 4 + value // 64
        strips = (strip.ravel() for strip in np.array_split(bins, 6))
        rows.append([np.bincount(strip, minlength=128) / strip.size for strip in strips])
    return np.asarray(np.sqrt(np.array(rows).reshape(len(rows), -1)))


class PerSpectrum(nn.Module):
    """Two modules of a kind: one for colour images, one for infrared."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.each = nn.ModuleList([make(), make()])

    def forward(self, x: Tensor, visible: int) -> Tensor:
        """Pass on `x` [B, C, H, W], the first `visible` images of which are in colour."""
        parts = zip(self.each, (x[:visible], x[visible:]), strict=True)
        return torch.cat([module(part) for module, part in parts if len(part)])


class Stage(nn.Module):
    """Halve the picture, then mix neighbours by a depth-wise separable convolution."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(before, after, 3, 2, 1, bias=False)
        self.norm = PerSpectrum(lambda: nn.BatchNorm2d(after))
        self.around = nn.Conv2d(after, after, 3, 1, 1, groups=after, bias=False)
        self.across = nn.Conv2d(after, after, 1, bias=False)
        self.norm_out = PerSpectrum(lambda: nn.BatchNorm2d(after))

    def forward(self, x: Tensor, visible: int) -> Tensor:
        """[B, before, H, W] to [B, after, H / 2, W / 2]."""
        x = F.relu(self.norm(self.halve(x), visible))
        return F.relu(x + self.norm_out(self.across(self.around(x)), visible))


class TwoStreams(nn.Module):
    """A small CNN with a stem and normalisation for each spectrum; one of them may stay unused."""

    def __init__(self, widths: tuple[int, int, int, int], stripes: int) -> None:
        super().__init__()
        self.stem = PerSpectrum(lambda: nn.Conv2d(3, widths[0], 3, 2, 1, bias=False))
        self.stem_norm = PerSpectrum(lambda: nn.BatchNorm2d(widths[0]))
        self.stages = nn.ModuleList([Stage(before, after) for before, after in pairwise(widths)])
        self.stripes, self.dim = stripes, widths[-1] * (stripes + 1)
        self.norm = nn.BatchNorm1d(self.dim)

    def forward(self, x: Tensor, visible: int) -> Tensor:
        """Embed [B, 3, H, W], the first `visible` of which are in colour, as [B, dim]."""
        x = F.relu(self.stem_norm(self.stem(x, visible), visible))
        for stage in self.stages:
            x = stage(x, visible)
        stripes = F.adaptive_avg_pool2d(x, (self.stripes, 1)).flatten(1)
        return self.norm(torch.cat([stripes, x.amax((2, 3))], 1))  # type: ignore[no-any-return]


class SmallViT(nn.Module):
    """Four blocks of width 128 on 8 x 8 pixel patches after a convolutional stem of two layers."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self.dim, tokens = 128, height * height // 2 // 64
        self.stem = nn.Sequential(
            nn.Conv2d(3, 48, 4, 4), nn.BatchNorm2d(48), nn.GELU(), nn.Conv2d(48, self.dim, 2, 2)
        )
        self.place = nn.Parameter(0.02 * torch.randn(1, tokens, self.dim))
        layer = nn.TransformerEncoderLayer(
            self.dim, 4, 4 * self.dim, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, 4, nn.LayerNorm(self.dim), False)
        self.norm = nn.BatchNorm1d(self.dim)

    def forward(self, x: Tensor, _: int) -> Tensor:
        """Embed [B, 3, H, W] as [B, dim]; this network knows one spectrum."""
        tokens = self.blocks(self.stem(x).flatten(2).transpose(1, 2) + self.place)
        return self.norm(tokens.mean(1))  # type: ignore[no-any-return]


def hardest_triplet(embedding: Tensor, label: Tensor, _: int) -> Tensor:
    """Soft-margin triplet loss with the hardest pairs of a batch of one spectrum."""
    distance = torch.cdist(embedding, embedding)
    same = label[:, None] == label[None]
    positive = (distance * same).amax(1)
    negative = distance.masked_fill(same, torch.inf).amin(1)
    return F.softplus(positive - negative).mean()


def contrast(embedding: Tensor, label: Tensor, visible: int) -> Tensor:
    """Supervised contrastive loss across the spectra, plus half of that within each.

    A hardest-pair triplet across the spectra stays at its starting value here.
    """
    unit = F.normalize(embedding, dim=1)
    similarity = unit @ unit.T / 0.1
    infrared = torch.arange(len(unit)) >= visible
    across = infrared[:, None] != infrared[None]
    within = ~across & ~torch.eye(len(unit), dtype=torch.bool)
    same = label[:, None] == label[None]
    loss = torch.zeros(())
    for pairs, weight in ((across, 1.0), (within, 0.5)):
        logs = similarity.masked_fill(~pairs, -1e4).log_softmax(1)
        wanted = same & pairs
        loss = loss - weight * ((logs * wanted).sum(1) / wanted.sum(1)).mean()
    return loss


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; `each` is images per person and spectrum in a batch."""

    height: int
    people: int
    each: int
    rate: float
    dropout: float
    loss: Callable[[Tensor, Tensor, int], Tensor]


CNN = Recipe(128, 16, 4, 2e-3, 0.0, hardest_triplet)
VIT = replace(CNN, height=64, rate=1e-3)
ACROSS = Recipe(128, 24, 2, 2e-3, 0.3, contrast)


class Trainer:
    """Trains one network on the training people of a world for some CPU seconds."""

    def __init__(self, net: TwoStreams | SmallViT, world: Pictures, recipe: Recipe, seed: int):
        self.net: nn.Module = net.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.draw = np.random.default_rng(seed)
        self.images, self.infrared = images_of(world, recipe.height), world.infrared
        train = world.split == "train"
        people = np.unique(world.person[train])
        spectra = (False, True) if world.infrared.any() else (False,)
        owned = [train & (world.person == who) for who in people]
        seen = [world.infrared == spectrum for spectrum in spectra]
        self.pools = [[np.flatnonzero(mask & light) for mask in owned] for light in seen]
        self.head = nn.Linear(net.dim, len(people), bias=False)
        nn.init.normal_(self.head.weight, std=0.01)

    def fit(self, budget: float) -> int:
        """Train until the CPU seconds are spent; returns the steps taken."""
        modules = nn.ModuleList([self.net, self.head])
        rate = self.recipe.rate
        optimiser = torch.optim.AdamW(modules.parameters(), rate, weight_decay=0.02)
        modules.train()
        started, step = time.process_time(), 0
        while (spent := (time.process_time() - started) / budget) < 1:
            for group in optimiser.param_groups:
                cosine = 0.5 + 0.5 * float(np.cos(np.pi * spent))
                group["lr"] = rate * min(1.0, (step + 1) / 60) * cosine
            optimiser.zero_grad()
            self._loss().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            step += 1
        return step

    def _loss(self) -> Tensor:
        recipe = self.recipe
        people = self.draw.permutation(len(self.pools[0]))[: recipe.people]
        chosen = [
            self.draw.choice(pool[who], recipe.each, replace=len(pool[who]) < recipe.each)
            for pool in self.pools
            for who in people
        ]
        batch = np.concatenate(chosen)
        label = torch.from_numpy(np.tile(people.repeat(recipe.each), len(self.pools)))
        visible = len(people) * recipe.each
        embedding = self.net(self._augmented(batch), visible)
        logits = self.head(F.dropout(embedding, recipe.dropout))
        naming = F.cross_entropy(logits, label, label_smoothing=0.1)
        return naming + recipe.loss(embedding, label, visible)

    def _augmented(self, batch: Indices) -> Tensor:
        """Flip, shift, change the gain by up to 20 % and erase a rectangle in 40 %."""
        height, draw = self.recipe.height, self.draw
        width, reach = height // 2, height // 32
        gains = torch.from_numpy(draw.uniform(0.8, 1.2, (len(batch), 3, 1, 1))).float()
        grey = self.infrared[batch]  # one channel, so one gain
        gains[grey] = gains[grey][:, :1]
        images = gains * F.pad(self.images[batch].float(), (reach,) * 4, mode="replicate")
        out = torch.empty(len(batch), 3, height, width)
        for number, image in enumerate(images):
            top, left = draw.integers(0, 2 * reach + 1, 2)
            crop = image[:, top : top + height, left : left + width]
            out[number] = crop.flip(2) if draw.random() < 0.5 else crop
            if draw.random() < 0.4:
                tall, wide = draw.integers(height // 10, height // 3), draw.integers(4, width // 2)
                y, x = draw.integers(height - tall), draw.integers(width - wide)
                out[number, :, y : y + tall, x : x + wide] = float(draw.uniform(60, 160))
        return _normalised(out)

    @torch.no_grad()
    def embed(self, world: Pictures) -> Features:
        """Embed all images of a world, summed over both flips."""
        self.net.eval()
        images = images_of(world, self.recipe.height)
        features = torch.empty(len(images), self.head.in_features)
        for spectrum in (False, True):
            chosen = torch.from_numpy(np.flatnonzero(world.infrared == spectrum))
            for start in range(0, len(chosen), 128):
                chunk = chosen[start : start + 128]
                x, visible = _normalised(images[chunk].float()), 0 if spectrum else len(chunk)
                features[chunk] = self.net(x, visible) + self.net(x.flip(3), visible)
        return features.double().numpy()


def images_of(world: Pictures, height: int) -> Tensor:
    """Pixels as bytes [N, 3, height, height / 2]; smaller ones are block means."""
    number, full, wide, _ = world.pixels.shape
    blocks = world.pixels.reshape(number, height, full // height, wide * height // full, -1, 3)
    return torch.from_numpy(blocks.mean((2, 4)).round().astype(np.uint8)).permute(0, 3, 1, 2)


def _normalised(x: Tensor) -> Tensor:
    return ((x - 110) / 60).contiguous(memory_format=torch.channels_last)


def both_ways(features: Features, world: Pictures) -> tuple[Score, Score]:
    """Score the queries against the gallery, then with the roles swapped."""
    query, gallery = (np.flatnonzero(world.split == name) for name in ("query", "gallery"))
    return score(features, world, query, gallery), score(features, world, gallery, query)


Rows = Iterator[tuple[str, Score]]


def colour_rows(size: str, seed: int, budget: float) -> Rows:
    """Matching without learning, then networks trained on A and on B."""
    worlds = {domain: load(WorldSpec(size, domain, seed)) for domain in "AB"}
    for domain, world in worlds.items():
        yield f"raw pixels {domain}", both_ways(raw_pixels(world), world)[0]
        yield f"HSV histogram {domain}", both_ways(strip_histograms(world), world)[0]
    for name, source, recipe in (("CNN", "A", CNN), ("CNN", "B", CNN), ("ViT", "A", VIT)):
        torch.manual_seed(seed)
        cnn, vit = TwoStreams((32, 64, 128, 192), 3), SmallViT(recipe.height)
        trainer = Trainer(cnn if name == "CNN" else vit, worlds[source], recipe, seed)
        print(f"{name} on {source}: {trainer.fit(budget)} steps", flush=True)
        for target in "AB" if source == "A" else "B":
            world = worlds[target]
            yield f"{name} {source} to {target}", both_ways(trainer.embed(world), world)[0]


def infrared_rows(size: str, seed: int, budget: float) -> Rows:
    """Matching across spectra: at random, by grey pixels, and by two streams."""
    world = load(WorldSpec(size, "A", seed, "cross_modal"))
    torch.manual_seed(seed)
    trainer = Trainer(TwoStreams((24, 48, 96, 160), 4), world, ACROSS, seed)
    print(f"two streams: {trainer.fit(budget)} steps", flush=True)
    for name, features in (
        ("chance", np.random.default_rng(seed).normal(size=(len(world.person), 64))),
        ("raw grey", raw_pixels(world, "L")),
        ("two streams", trainer.embed(world)),
    ):
        found = both_ways(features, world)
        yield from zip((f"{name} IR to RGB", f"{name} RGB to IR"), found, strict=True)


BANDS = {
    "raw pixels A": "5 to 25",
    "HSV histogram A": "5 to 45",
    "HSV histogram B": "from 4",
    "CNN A to A": "55 to 90 after 90 s, 25 above both",
    "CNN A to B": "at most 0.45 of A to A",
    "CNN B to B": "from 40",
    "raw grey IR to RGB": "below 8 and 2 x chance",
    "two streams IR to RGB": "from 3 x chance",
}


PARTS = ("colour", "infrared")


def main() -> None:
    """Print each figure as it is measured, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--size", choices=("demo", "bench"), default="bench")
    parser.add_argument("--budget", type=float, default=90, help="CPU seconds of each network")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table: dict[str, list[Score]] = {}
    for seed in options.seeds:
        rows: list[Rows] = []
        if "colour" in options.parts:
            rows.append(colour_rows(options.size, seed, options.budget))
        if "infrared" in options.parts:
            rows.append(infrared_rows(options.size, seed, options.budget))
        for name, found in chain.from_iterable(rows):
            table.setdefault(name, []).append(found)
            print(f"seed {seed}: {name:24} {found[0]:5.1f} / {found[1]:5.1f}", flush=True)
    print(f"\nmAP / R1, {options.size}, {options.budget:.0f} CPU s a network, each seed:")
    for name, scores in table.items():
        precision, first = np.mean(scores, axis=0)
        each = " ".join(f"{value[0]:.1f}" for value in scores)
        print(f"{name:24} {precision:5.1f} / {first:5.1f}  {each:24}{BANDS.get(name, '')}")


if __name__ == "__main__":
    main()
