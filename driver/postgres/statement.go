package postgres

import (
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// statement is SQL in which the schema is named batch, by its number among all.
type statement int

// sources are the texts of all statements.
var sources []string

// newStatement takes a statement in, when the package is initialised.
func newStatement(text string) statement {
	sources = append(sources, text)
	return statement(len(sources) - 1)
}

// schemaName is what a schema may be called: a name that no server folds or shortens.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,47}$`)

// inSchema is SQL for a schema of that name.
func inSchema(text, schema string) string {
	text = strings.ReplaceAll(text, "batch.", pgx.Identifier{schema}.Sanitize()+".")
	return strings.ReplaceAll(text, "pg_notify('batch'", "pg_notify('"+schema+"'")
}

// statementsOf are all statements for a schema.
func statementsOf(schema string) []string {
	texts := make([]string, len(sources))
	for i, text := range sources {
		texts[i] = inSchema(text, schema)
	}
	return texts
}
