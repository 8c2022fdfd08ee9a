package release

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module  = "github.com/batch-go/batch"
	version = "v0.99.0"
)

// root is the working tree.
const root = "../.."

// repository makes a Git repository of the working tree's files, committed, with a section for the version in
// its changelog. With folders it has only the files below them, and the changelog.
func repository(t *testing.T, folders ...string) string {
	t.Helper()
	repo := t.TempDir()
	files := []string{"ls-files", "-z", "--cached", "--others", "--exclude-standard"}
	if len(folders) > 0 {
		files = append(append(files, "--", "CHANGELOG.md"), folders...)
	}
	list := run(t, root, nil, "git", files...)
	for path := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		err := copyFile(filepath.Join(root, path), filepath.Join(repo, path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a file that was deleted and not yet committed
			t.Fatal(err)
		}
	}
	changelog := filepath.Join(repo, "CHANGELOG.md")
	text, err := os.ReadFile(changelog)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "\n## ["+strings.TrimPrefix(version, "v")+"] - 2000-01-01\n\nA release for tests.\n"...)
	if err := os.WriteFile(changelog, text, 0o600); err != nil {
		t.Fatal(err)
	}
	git(t, repo, "init", "-q")
	commit(t, repo)
	return repo
}

// release calls the command and returns all that it says.
func release(t *testing.T, repo, version string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "scripts/release.sh", version)
	cmd.Dir, cmd.Env = repo, gitEnv()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// commit commits all that there is in a repository.
func commit(t *testing.T, repo string) {
	t.Helper()
	git(t, repo, "add", "--all")
	git(t, repo, "commit", "-q", "-m", "A change")
}

// git runs a command of Git and returns what it prints.
func git(t *testing.T, repo string, args ...string) string {
	t.Helper()
	return run(t, repo, gitEnv(), "git", args...)
}

// localVariables are those that git rev-parse --local-env-vars lists, but for GIT_CONFIG_COUNT.
var localVariables = []string{
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_OBJECT_DIRECTORY", "GIT_DIR",
	"GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
	"GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR",
}

// gitEnv is this process's environment, with what makes Git work in a temporary repository as anywhere.
func gitEnv(config ...string) []string {
	// What Git sets for its hooks names the repository that they run in, which is not the temporary one.
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(localVariables, name)
	})
	for _, name := range []string{"GIT_AUTHOR_", "GIT_COMMITTER_"} {
		env = append(env, name+"NAME=release test", name+"EMAIL=release@example.com")
	}
	n, err := strconv.Atoi(os.Getenv("GIT_CONFIG_COUNT"))
	if err != nil {
		n = 0 // there is none
	}
	config = append(config, "commit.gpgSign", "false", "tag.gpgSign", "false")
	for i := 0; i < len(config); i, n = i+2, n+1 {
		number := strconv.Itoa(n)
		env = append(env, "GIT_CONFIG_KEY_"+number+"="+config[i], "GIT_CONFIG_VALUE_"+number+"="+config[i+1])
	}
	return append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(n), "GIT_TERMINAL_PROMPT=0")
}

// run runs a command in a folder and returns its standard output.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}

// copyFile copies a file with its mode, and makes the folder for it.
func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.WriteFile(to, content, info.Mode())
}
