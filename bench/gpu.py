"""ResNet-50 on all 20 headline cells with one GPU: seconds, the share of each stage, and agreement with the CPU.

    python bench/gpu.py FOLDER --json OUT [--steps nothing stored cpu] [--pixels 1000] [--profile]

As `headline.py`, whose options it takes, with another model, a GPU and all steps.
"""

import headline

if __name__ == "__main__":
    headline.main(
        {
            "model": "torchvision:resnet50@none",
            "layers": "V1=layer1,V2=layer2,V4=layer3,IT=layer4",
            "device": "cuda",
            "steps": headline.STEPS,
        }
    )
