package release

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testsOnly are the modules that hold nothing but tests, which are not released.
var testsOnly = []string{"bench", "dash/browser", "idempotency/sqlstore/databases", "internal/deploy", "outbox/databases"}

// TestRelease makes a release, and looks at it as its users do, who have only its modules' names. They share it,
// and what they have fetched.
func TestRelease(t *testing.T) {
	repo := repository(t)
	before := strings.TrimSpace(git(t, repo, "rev-parse", "HEAD"))
	out, err := release(t, repo, version)
	if err != nil {
		t.Fatalf("the release command failed: %v\n%s\n%s", err, out, needs)
	}
	env := outside(t, repo)
	t.Run("command", func(t *testing.T) { checkCommand(t, repo, before, out) })
	t.Run("users", func(t *testing.T) { checkUsers(t, repo, env) })
	t.Run("author", func(t *testing.T) { checkAuthor(t, env) })
	t.Run("install", func(t *testing.T) { checkInstall(t, env) })
}

// checkCommand looks at what the release command leaves: one commit, in which all modules require each other at
// the version, and a tag for each module; that of what is installed is a commit beside it.
func checkCommand(t *testing.T, repo, before, out string) {
	if parent := strings.TrimSpace(git(t, repo, "rev-parse", "HEAD^")); parent != before {
		t.Errorf("the release is not one commit: HEAD^ is %s, want %s", parent, before)
	}
	if changes := git(t, repo, "status", "--porcelain"); changes != "" {
		t.Errorf("changes are left:\n%s", changes)
	}
	if changed := git(t, repo, "diff", "--name-only", "HEAD^"); strings.Contains(changed, ".go\n") {
		t.Errorf("more than go.mod files changed:\n%s", changed)
	}

	var want []string
	modules := modulesOf(t, repo)
	for _, m := range modules {
		switch tag := strings.TrimPrefix(strings.TrimPrefix(m.Path, module)+"/"+version, "/"); {
		case strings.HasPrefix(tag, "cmd/"):
			checkInstallable(t, repo, tag)
		case !slices.Contains(testsOnly, strings.TrimSuffix(tag, "/"+version)):
			want = append(want, tag)
		}
		for _, r := range m.Require {
			if ours(r.Path) && r.Version != version {
				t.Errorf("%s requires %s at %s", m.Path, r.Path, r.Version)
			}
		}
	}
	slices.Sort(want)
	if len(want) < 8 {
		t.Errorf("only %d modules were found", len(want))
	}
	tags := strings.Fields(git(t, repo, "tag", "--points-at", "HEAD"))
	if slices.Sort(tags); !slices.Equal(tags, want) {
		t.Errorf("the tags are %q, want %q", tags, want)
	}
	push := "git push --atomic origin HEAD " + version + " "
	if !strings.Contains(out, push) {
		t.Errorf("the command does not say how to publish, %q:\n%s", push, out)
	}
	for _, tag := range strings.Fields(git(t, repo, "tag")) {
		if !strings.Contains(out[strings.Index(out, "git push"):], tag) {
			t.Errorf("the command for publishing lacks %s:\n%s", tag, out)
		}
	}
}

// checkInstallable looks at the tag of a module that go install is to install: it is the release, but for a go.mod that
// replaces nothing.
func checkInstallable(t *testing.T, repo, tag string) {
	t.Helper()
	if changed, want := git(t, repo, "diff", "--name-only", "HEAD", tag), strings.TrimSuffix(tag, version)+"go.mod\n"; changed != want {
		t.Errorf("in %s other files than those of the release are %q, want %q", tag, changed, want)
	}
	file := git(t, repo, "show", tag+":"+strings.TrimSuffix(tag, version)+"go.mod")
	if strings.Contains(file, "\nreplace") || !strings.Contains(file, module+" "+version) {
		t.Errorf("the go.mod of %s is\n%s", tag, file)
	}
}

// TestCommandRefuses calls the release command where it must do nothing.
func TestCommandRefuses(t *testing.T) {
	repo := repository(t)
	head := git(t, repo, "rev-parse", "HEAD")
	refused := func(t *testing.T, version, want string) {
		t.Helper()
		if out, err := release(t, repo, version); err == nil || !strings.Contains(out, want) {
			t.Errorf("release.sh %q: %v, want an error with %q:\n%s", version, err, want, out)
		}
		if now := git(t, repo, "rev-parse", "HEAD"); now != head {
			t.Errorf("release.sh %q has committed something", version)
		}
	}
	for _, bad := range []string{"", "1.0.0", "v1.0", "v01.0.0", "v1.0.0+meta", "v2.0.0", "v1.0.0-", "v1.0.0-rc", "v1.0.0 "} {
		refused(t, bad, "want v1.2.3")
	}
	refused(t, "v0.98.0", "CHANGELOG.md has no heading '## [0.98.0]")
	stray := filepath.Join(repo, "stray")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, version, "the working tree has changes")
	if err := os.Remove(stray); err != nil {
		t.Fatal(err)
	}
	git(t, repo, "tag", "driver/redis/"+version)
	refused(t, version, "the tag driver/redis/"+version+" is there already")
	if tags := strings.Fields(git(t, repo, "tag")); len(tags) != 1 {
		t.Errorf("a refused release has made tags: %q", tags)
	}
}

// TestCommandRefusesReleases calls the release command for what would be a mistake to publish.
func TestCommandRefusesReleases(t *testing.T) {
	for name, test := range map[string]struct {
		section string // of the changelog
		prepare func(repo string)
		version string
		want    string
	}{
		"an empty section":      {"## [0.98.0] - 2000-01-01\n\n## [0.97.0] - 2000-01-01\n\nSomething.\n", nil, "v0.98.0", "says nothing below the heading of 0.98.0"},
		"a date that is none":   {"## [0.98.0] - 2000-02-30\n\nSomething.\n", nil, "v0.98.0", "no heading '## [0.98.0] - YYYY-MM-DD'"},
		"a version of before":   {"## [0.98.0] - 2000-01-01\n\nSomething.\n", func(repo string) { git(t, repo, "tag", version) }, "v0.98.0", "is not above v0.99.0"},
		"a late pre-release":    {"## [0.99.0-rc.1] - 2000-01-01\n\nSomething.\n", func(repo string) { git(t, repo, "tag", version) }, "v0.99.0-rc.1", "is not above v0.99.0"},
		"no branch checked out": {"## [0.98.0] - 2000-01-01\n\nSomething.\n", func(repo string) { git(t, repo, "checkout", "-q", "--detach") }, "v0.98.0", "no branch is checked out"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := repository(t, "scripts") // it refuses before it looks at a module
			changelog := filepath.Join(repo, "CHANGELOG.md")
			if err := os.WriteFile(changelog, []byte("# Changelog\n\n"+test.section), 0o600); err != nil {
				t.Fatal(err)
			}
			commit(t, repo)
			if test.prepare != nil {
				test.prepare(repo)
			}
			head := git(t, repo, "rev-parse", "HEAD")
			if out, err := release(t, repo, test.version); err == nil || !strings.Contains(out, test.want) {
				t.Errorf("%v, want an error with %q:\n%s", err, test.want, out)
			}
			if now := git(t, repo, "rev-parse", "HEAD"); now != head {
				t.Error("something was committed")
			}
		})
	}
}
