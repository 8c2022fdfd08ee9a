// Package sqlname has the names that tables may have which applications choose, on all databases alike: what is made beside a
// table has longer ones.
package sqlname

import (
	"fmt"
	"regexp"
	"strings"
)

// names are those that a table may have. What is made beside the table has longer
// ones, within the 63 bytes of PostgreSQL.
var names = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,47}\.)?[a-z_][a-z0-9_]{0,47}$`)

// Name is the name of a table, with a schema or database in front if there is a dot.
type Name struct {
	schema, table string
}

// Parse checks a name.
func Parse(name string) (Name, error) {
	if !names.MatchString(name) {
		return Name{}, fmt.Errorf("the table's name %q is not one of up to 48 lower-case letters, digits and underscores, with a schema's in front perhaps", name)
	}
	if schema, table, ok := strings.Cut(name, "."); ok {
		return Name{schema: schema, table: table}, nil
	}
	return Name{table: name}, nil
}

// String is the name as it was parsed.
func (n Name) String() string {
	if n.schema == "" {
		return n.table
	}
	return n.schema + "." + n.table
}

// Quoted is the name, with a suffix, for a statement that quotes by quote.
func (n Name) Quoted(quote, suffix string) string {
	bare := quote + n.table + suffix + quote
	if n.schema == "" {
		return bare
	}
	return quote + n.schema + quote + "." + bare
}

// Bare is the name without its schema, with a suffix, for what is always made in the
// schema of the table.
func (n Name) Bare(quote, suffix string) string { return quote + n.table + suffix + quote }
