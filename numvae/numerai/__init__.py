"""What is known of Numerai's data, a simulated table of its schema, and its files"""

from .facts import *
from .simulator import *
from .downloader import *
