"""`python -m fusion_pipeline.cli` is the command `fusion`."""

from fusion_pipeline.cli import main

if __name__ == "__main__":
    main()
