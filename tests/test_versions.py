"""Installed versions and the check of the stack."""

import subprocess

import pytest

from tf_metagan import versions


def test_installed_names_what_a_run_depends_on():
    found = versions.installed()
    assert found["tensorflow"] is not None
    assert found["keras"] is not None
    assert found["tf-metagan"] is not None


@pytest.mark.parametrize(
    ("tensorflow", "keras"), [("2.20.0", "3.12.0"), ("2.22.0rc0", "4.0")]
)
def test_stack_that_is_new_enough_is_accepted(tensorflow, keras):
    found = {"tensorflow": tensorflow, "keras": keras}
    versions.check_training_stack(found, {"TF_USE_LEGACY_KERAS": "0"})


@pytest.mark.parametrize(
    ("tensorflow", "keras", "named"),
    [
        ("2.19.1", "3.12.0", r"found TensorFlow 2\.19\.1; run: pip install"),
        ("2.20.0", "3.9.2", r"found Keras 3\.9\.2; run: pip install"),
        ("2.15.1", "2.15.0", r"TensorFlow 2\.15\.1 and Keras 2\.15\.0; run"),
        (None, "3.12.0", r"found TensorFlow \(not installed\); run"),
    ],
)
def test_stack_that_is_too_old_is_named_with_the_fix(tensorflow, keras, named):
    found = {"tensorflow": tensorflow, "keras": keras}
    with pytest.raises(ImportError, match=named):
        versions.check_training_stack(found, {})


@pytest.mark.parametrize(
    ("name", "value"), [("KERAS_BACKEND", "jax"), ("TF_USE_LEGACY_KERAS", "1")]
)
def test_environment_that_selects_another_keras_is_refused(name, value):
    found = {"tensorflow": "2.21.0", "keras": "3.15.1"}
    with pytest.raises(ImportError, match=f"{name}={value} selects another"):
        versions.check_training_stack(found, {name: value})


def test_git_commit_is_the_hash_and_tells_of_changes(tmp_path):
    def git(*words):
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        command = ["git", "-C", str(tmp_path), *identity, *words]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert versions.git_commit(str(tmp_path)) is None
    git("init", "--quiet")
    assert versions.git_commit(str(tmp_path)) is None
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "--quiet", "--message=one")
    commit = git("rev-parse", "HEAD")
    assert versions.git_commit(str(tmp_path)) == commit
    (tmp_path / "file").write_text("two")
    assert versions.git_commit(str(tmp_path)) == f"{commit}+changes"


def test_git_commit_is_none_for_a_copy_inside_another_repository(tmp_path):
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    copy = tmp_path / "site-packages"
    copy.mkdir()
    assert versions.git_commit(str(copy)) is None
