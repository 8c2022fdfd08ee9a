package brokers

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// Version names a row of images.txt: a broker and its major version.
type Version string

// The rows of images.txt. TestVersionsAreTheTable holds the two together.
const (
	Redis7     Version = "redis-7"
	Redis8     Version = "redis-8"
	Valkey8    Version = "valkey-8"
	RabbitMQ3  Version = "rabbitmq-3"   // 3.10
	RabbitMQ40 Version = "rabbitmq-4.0" // two classes of priority on quorum queues
	RabbitMQ4  Version = "rabbitmq-4"   // 4.3 or newer
	NATS29     Version = "nats-2.9"     // has neither message schedules nor TTLs
	NATS212    Version = "nats-2.12"    // 2.12.3, the oldest that the driver takes
	NATS2      Version = "nats-2"       // 2.15 or newer
	FauxSQS    Version = "sqs"

	PostgreSQL15 Version = "postgres-15"
	PostgreSQL17 Version = "postgres-17"
	PgBouncer118 Version = "pgbouncer-1.18" // before 1.21: knows no prepared statements
	PgBouncer1   Version = "pgbouncer-1"    // 1.24 or newer
	MariaDB11    Version = "mariadb-11"
)

// imagesScript makes the image of a row.
const imagesScript = "scripts/broker-images.sh"

// imagesText is the table that scripts/broker-images.sh reads as well.
//
//go:embed images.txt
var imagesText string

// npmText holds the files that say what is in the images with npm packages.
//
//go:embed fauxqs/Dockerfile fauxqs/package.json fauxqs/package-lock.json
var npmText embed.FS

// A row is a line of images.txt; the comment there says what each column means.
type row struct {
	version  Version
	family   string
	official string
	suite    string
	packages []string
	command  []string
}

// parseRows reads the table. It fails on a malformed line instead of skipping it, since a broker that
// drops out of the table is a broker that is no longer tested.
func parseRows(text string) ([]row, error) {
	var rows []row
	for number, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(line, "|")
		if len(columns) != 6 {
			return nil, fmt.Errorf("images.txt:%d: %d columns, want 6", number+1, len(columns))
		}
		for i, column := range columns {
			if columns[i] = strings.TrimSpace(column); columns[i] == "" {
				return nil, fmt.Errorf("images.txt:%d: column %d is empty", number+1, i+1)
			}
		}
		rows = append(rows, row{
			version:  Version(columns[0]),
			family:   columns[1],
			official: columns[2],
			suite:    columns[3],
			packages: strings.Fields(columns[4]),
			command:  splitCommand(columns[5]),
		})
	}
	return rows, nil
}

// splitCommand splits at spaces. The one quoting it knows is "" for an empty argument, which is all
// that the table needs; - is no command at all.
func splitCommand(command string) []string {
	if command == "-" {
		return nil
	}
	fields := strings.Fields(command)
	for i, field := range fields {
		if field == `""` {
			fields[i] = ""
		}
	}
	return fields
}

// rowOf returns the row of v.
func rowOf(v Version) (row, error) {
	rows, err := parseRows(imagesText)
	if err != nil {
		return row{}, err
	}
	i := slices.IndexFunc(rows, func(r row) bool { return r.version == v })
	if i < 0 {
		return row{}, fmt.Errorf("no row %q in images.txt", v)
	}
	return rows[i], nil
}

// override returns the variable that overrides the row's family, such as BATCH_TEST_REDIS_URL.
func (r row) override(what string) string {
	return "BATCH_TEST_" + strings.ToUpper(r.family) + "_" + what
}

// Among a row's packages, npmPrefix marks the folder of npm packages, and goPrefix a Go package.
const (
	npmPrefix = "npm:"
	goPrefix  = "go:"
)

// above tells the packages that are in an image of their own, above the one of Debian's packages.
func above(name string) bool {
	return strings.HasPrefix(name, npmPrefix) || strings.HasPrefix(name, goPrefix)
}

// standIn names the image that stands in for a row's official one, exactly as scripts/broker-images.sh
// does. One with npm packages is named after the image below it and the files that say what is in it,
// one with a Go program after the image below it and the program.
func standIn(rows []row, r row) string {
	base := debianImage(rows, r.suite)
	i := slices.IndexFunc(r.packages, above)
	if i < 0 {
		return base
	}
	sum := sha256.New()
	sum.Write([]byte(base + "\n"))
	if program, ok := strings.CutPrefix(r.packages[i], goPrefix); ok {
		sum.Write([]byte(program + "\n"))
		return "batch-test/go-" + string(r.version) + ":" + hex.EncodeToString(sum.Sum(nil))[:12]
	}
	folder := strings.TrimPrefix(r.packages[i], npmPrefix)
	for _, name := range []string{"Dockerfile", "package.json", "package-lock.json"} {
		// A folder that is not embedded gives a name that the script does not: TestScriptNamesTheSameImages.
		content, err := npmText.ReadFile(folder + "/" + name)
		if err != nil {
			return err.Error()
		}
		sum.Write(content)
	}
	return "batch-test/npm-" + folder + ":" + hex.EncodeToString(sum.Sum(nil))[:12]
}

// debianImage names the stand-in image of a suite after the packages in it, exactly as
// scripts/broker-images.sh does, so that a changed list of packages asks for an image not built yet.
func debianImage(rows []row, suite string) string {
	var packages []string
	for _, r := range rows {
		if r.suite == suite {
			packages = append(packages, r.packages...)
		}
	}
	packages = slices.DeleteFunc(packages, above)
	slices.Sort(packages)
	packages = slices.Compact(packages)
	sum := sha256.Sum256([]byte(suite + "\n" + strings.Join(packages, "\n") + "\n"))
	return "batch-test/debian-" + suite + ":" + hex.EncodeToString(sum[:])[:12]
}

// image returns what the launcher needs to know of the row.
func (r row) image() (launch.Image, error) {
	rows, err := parseRows(imagesText)
	if err != nil {
		return launch.Image{}, err
	}
	script, err := findUp(imagesScript)
	if err != nil {
		return launch.Image{}, err
	}
	i := launch.Image{
		Row:      string(r.version),
		Present:  []string{r.official, standIn(rows, r)},
		Script:   script,
		Override: os.Getenv(r.override("IMAGE")),
		Command:  r.command,
	}
	if r.version == FauxSQS && i.Override == "" {
		i.Version, err = lockedVersion("fauxqs")
	}
	return i, err
}

// lockedVersion returns the version of the npm package that a folder is named after. It is that of the
// official image too.
func lockedVersion(folder string) (string, error) {
	text, err := npmText.ReadFile(folder + "/package-lock.json")
	if err != nil {
		return "", err
	}
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return "", fmt.Errorf("%s/package-lock.json: %w", folder, err)
	}
	version := lock.Packages["node_modules/"+folder].Version
	if version == "" {
		return "", fmt.Errorf("%s/package-lock.json has no package %s", folder, folder)
	}
	return version, nil
}
