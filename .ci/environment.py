"""Print environment.yml for conda users: the same pins as requirements.lock."""

from pathlib import Path

pins = Path(__file__).parent.with_name("requirements.lock").read_text().splitlines()
print(
    """# conda env create -f environment.yml && conda activate miga-bench
# The pins are those of requirements.lock; .ci/lock writes both.
name: miga-bench
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:"""
)
for pin in pins:
    print(f'      - "{pin}"' if ";" in pin else f"      - {pin}")
print("      - -e .")  # the project itself
