"""IDKL: knowledge of what the spectra share, for visible and infrared images (arXiv 2403.11708)."""

from reid.methods.base import Method
from reid.methods.idkl.network import Idkl, build
from reid.methods.idkl.recipe import IdklRecipe
from reid.methods.idkl.weights import convert_checkpoint, load_pretrained

METHOD = Method(
    name="idkl",
    recipe=IdklRecipe,
    build=build,
    load_pretrained=load_pretrained,
    convert_checkpoint=convert_checkpoint,
)

__all__ = ["METHOD", "Idkl", "IdklRecipe"]
