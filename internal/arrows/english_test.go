package arrows

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// oddEnglish are phrases that a native engineer would not write, with what to write instead. They were all here once.
var oddEnglish = []struct {
	phrase  *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?i)\bwhoever\b`), "a caller, a program, a reader: say who"},
	{regexp.MustCompile(`(^|[.:;#/] +)Who [a-z]+s `), "if you ..., a program that ..."},
	{regexp.MustCompile(`speaks? against`), "is a reason not to"},
	{regexp.MustCompile(`by another hand`), "by another program"},
	{regexp.MustCompile(`missed by a hair`), "just missed"},
	{regexp.MustCompile(`(come|came|comes) of age`), "is old enough"},
	{regexp.MustCompile(`lets? fall`), "drops"},
	{regexp.MustCompile(`stands? in no `), "is in no"},
	{regexp.MustCompile(`\ball the same\b`), "anyway, still"},
	{regexp.MustCompile(`\bat one time\b`), "at once, at the same time"},
}

func TestEnglishIsPlain(t *testing.T) {
	endings := []string{".go", ".md", ".sh", ".lua"}
	eachFile(t, func(path string, content string) {
		if !slices.Contains(endings, filepath.Ext(path)) || path == "internal/arrows/english_test.go" {
			return
		}
		for number, line := range strings.Split(content, "\n") {
			for _, odd := range oddEnglish {
				if found := odd.phrase.FindString(line); found != "" {
					t.Errorf("%s:%d: %q is odd English; write: %s", path, number+1, strings.TrimSpace(found), odd.instead)
				}
			}
		}
	})
}
