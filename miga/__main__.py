import sys

from miga.commands import main

sys.exit(main())
