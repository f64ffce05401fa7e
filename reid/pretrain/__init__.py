"""Self-distillation and masked image modelling: backbones from images without labels."""
