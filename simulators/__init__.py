"""AFAS and Pluvo over real HTTP, with fault switches. Reached by base URL only; imports nothing else of ours."""
