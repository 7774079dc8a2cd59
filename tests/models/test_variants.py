"""Names of sizes, and the published parameter counts."""

import pytest

from vitcross.models import VARIANTS, VisionTransformer, parse_variant

# Class-token models at 224 pixels with 1000 classes (timm: vit_{tiny,small,base,large}_patch16_224).
PUBLISHED = {"Ti/16": 5_717_416, "S/16": 22_050_664, "B/16": 86_567_656, "L/16": 304_326_632}


def test_every_variant_has_a_published_count():
    assert {name.split("/")[0] for name in PUBLISHED} == set(VARIANTS)


@pytest.mark.parametrize("name", [n if n != "L/16" else pytest.param(n, marks=pytest.mark.slow) for n in PUBLISHED])
def test_parameter_counts(name):
    model = VisionTransformer(variant=name, image_size=224, num_classes=1000)
    assert model.count_params() == PUBLISHED[name]


def test_parameter_count_of_the_largest_by_formula():
    size, patch = parse_variant("L/16")
    width = size.embed_dim
    block = 4 * width + 4 * width**2 + 4 * width + 8 * width**2 + 5 * width
    outside = 3 * patch**2 * width + width + (1 + 14 * 14) * width + width + 2 * width + 1000 * width + 1000
    assert size.depth * block + outside == PUBLISHED["L/16"]


def test_other_patch_sizes():
    assert parse_variant("S/8") == (VARIANTS["S"], 8)
    assert parse_variant("Ti/14")[1] == 14


@pytest.mark.parametrize("name", ["Ti", "Ti/", "Ti/0", "Ti/x", "ti/16", "G/14", "Ti/16/2", ""])
def test_unknown_variants_list_the_names(name):
    with pytest.raises(ValueError, match=f"expected a size of Ti, S, B, L and a patch size.*variant='{name}'"):
        parse_variant(name)


def test_explicit_sizes_override_the_variant():
    model = VisionTransformer(
        variant="Ti/16", image_size=24, num_classes=3, patch_size=8, depth=1, embed_dim=24, mlp_ratio=1.0
    )
    assert (model.patch_size, model.depth, model.embed_dim, model.num_heads) == ((8, 8), 1, 24, 3)


def test_without_a_variant_every_size_is_needed():
    with pytest.raises(ValueError, match="expected depth, or a variant that fills it"):
        VisionTransformer(image_size=24, num_classes=3, patch_size=8, embed_dim=24, num_heads=3)
