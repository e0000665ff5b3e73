from miga.experiment.single import generate as generate
from miga.models import load as load

__version__: str
