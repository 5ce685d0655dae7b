"Everything about the package is in settings.ini; edit there, not here."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

config = ConfigParser(delimiters=['='])
config.read('settings.ini', encoding='utf-8')
cfg = config['DEFAULT']

lib, suffix = cfg['lib_name'], '_requirements'
extras = {k[:-len(suffix)]: v.split() for k, v in cfg.items() if k.endswith(suffix)}
statuses = ['1 - Planning', '2 - Pre-Alpha', '3 - Alpha', '4 - Beta', '5 - Production/Stable', '6 - Mature', '7 - Inactive']
first_minor = int(cfg['min_python'].split('.')[1])
classifiers = [
    f'Development Status :: {statuses[int(cfg["status"]) - 1]}',
    f'Intended Audience :: {cfg["audience"]}',
    f'Natural Language :: {cfg["language"]}',
    'Programming Language :: Python :: 3',
    *(f'Programming Language :: Python :: 3.{o}' for o in range(first_minor, 14)),
]

setup(
    name=lib,
    version=cfg['version'],
    description=cfg['description'],
    keywords=cfg['keywords'].split(),
    author=cfg['author'],
    author_email=cfg['author_email'],
    license={'apache2': 'Apache-2.0'}.get(cfg['license'], cfg['license']),
    classifiers=classifiers,
    url=cfg['git_url'],
    project_urls={'Documentation': cfg['doc_host'] + cfg['doc_baseurl']},
    packages=find_packages(include=[lib, f'{lib}.*']),
    include_package_data=True,
    package_data={lib: ['py.typed']},
    python_requires=f'>={cfg["min_python"]}',
    install_requires=cfg['requirements'].split(),
    extras_require=extras,
    entry_points={'console_scripts': cfg['console_scripts'].split(), 'nbdev': [f'{lib}={lib}._modidx:d']},
    long_description=Path('README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    zip_safe=False,
)
