"""The settings of training themselves."""

import itertools
import os
import threading

import pytest

from tf_metagan import config, fields

DESCRIBED = fields.describe(config.Config)


def test_defaults_are_allowed_values():
    made = config.Config()
    for name, setting in DESCRIBED.items():
        assert getattr(made, name) == setting.default


def test_config_is_frozen():
    with pytest.raises(AttributeError, match="cannot assign"):
        config.Config().seed = 1


@pytest.mark.parametrize("setting", DESCRIBED.values(), ids=DESCRIBED)
def test_help_is_a_sentence_without_the_default(setting):
    assert setting.help[-1] == "."
    assert setting.help.count("  ") == 0
    assert "default" not in setting.help.lower()


@pytest.mark.parametrize("setting", DESCRIBED.values(), ids=DESCRIBED)
def test_numbers_have_a_range_or_choices(setting):
    if setting.kind in (int, float):
        assert setting.interval or setting.choices


@pytest.mark.parametrize("setting", DESCRIBED.values(), ids=DESCRIBED)
def test_chooser_is_a_setting_with_choices(setting):
    if setting.chosen_by:
        assert DESCRIBED[setting.chosen_by].choices


def test_sections_are_contiguous():
    sections = [setting.section for setting in DESCRIBED.values()]
    changes = sum(a != b for a, b in itertools.pairwise(sections))
    assert changes == len(set(sections)) - 1


def test_data_dir_comes_from_the_environment_of_tensorflow_datasets():
    assert DESCRIBED["data_dir"].environment == "TFDS_DATA_DIR"


def test_new_logdir_counts_up_and_never_reuses(tmp_path):
    def make():
        return config.new_logdir(
            dataset="tfds:a/b", algo="maml", root=str(tmp_path / "runs")
        )

    assert os.path.basename(make()) == "tfds_a_b_maml_001"
    assert os.path.basename(make()) == "tfds_a_b_maml_002"


def test_new_logdir_gives_each_of_many_starts_its_own(tmp_path):
    made = []

    def make():
        made.append(
            config.new_logdir(dataset="x", algo="y", root=str(tmp_path))
        )

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == len(threads)
    assert all(os.path.isdir(folder) for folder in made)
