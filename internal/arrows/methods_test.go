package arrows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// methodFiles says in which file of every driver a method of the SPI stands, so that a driver is read beside
// another one, file by file. Methods of Consumer have its name in front.
var methodFiles = map[string]string{
	"Info":           "driver.go",
	"PriorityLevels": "driver.go",
	"MaxDelay":       "driver.go",
	"DedupWindow":    "driver.go",
	"ImportWindow":   "driver.go",
	"MaxGroups":      "driver.go",
	"AtomicLimit":    "driver.go",
	"Close":          "driver.go",

	"Declare":     "queue.go",
	"DeleteQueue": "queue.go",
	"Depth":       "queue.go",

	"Enqueue":       "enqueue.go",
	"EnqueueAtomic": "enqueue.go",

	"Consume":          "consumer.go",
	"Consumer.Lease":   "consumer.go",
	"Consumer.Stop":    "consumer.go",
	"Consumer.Close":   "consumer.go",
	"Consumer.Receive": "receive.go",
	"Consumer.Extend":  "lease.go",
	"Consumer.Abandon": "lease.go",
	"Consumer.Settle":  "settle.go",

	"DeadLetters": "deadletter.go",
	"Redrive":     "deadletter.go",
	"Discard":     "deadletter.go",

	"List":   "inspect.go",
	"Find":   "inspect.go",
	"Delete": "inspect.go",

	"Pause":  "pause.go",
	"Resume": "pause.go",
	"Paused": "pause.go",

	"Examine":       "examine.go",
	"Import":        "import.go",
	"ForgetImports": "import.go",
	"ListQueues":    "queue.go",
	"Purge":         "purge.go",

	"TxType":     "tx.go",
	"EnqueueTx":  "tx.go",
	"CompleteTx": "tx.go",
	"TryTx":      "tx.go",
}

// otherMethods are types of the drivers' packages that have methods of those names and are not the driver.
var otherMethods = map[string]string{
	"driver/redis.liveConn":   "it is a connection of the network",
	"driver/postgres.tracked": "it is a connection of the network",
	"driver/memory.Portable":  "it hands every call on, and shows in one file what a driver without capabilities is",
}

// TestMethodsStandInTheirFiles looks at every driver of this repository.
func TestMethodsStandInTheirFiles(t *testing.T) {
	seen := make(map[string]int)
	used := make(map[string]bool)
	consumers := consumerTypes(t)
	eachGoFile(t, func(file string, syntax *ast.File) {
		folder := path.Dir(file)
		if !strings.HasPrefix(folder, "driver/") {
			return
		}
		for _, d := range syntax.Decls {
			method, ok := d.(*ast.FuncDecl)
			if !ok || method.Recv == nil {
				continue
			}
			receiver := receiverName(method)
			key := method.Name.Name
			if _, theirs := methodFiles["Consumer."+key]; theirs && (consumers[folder+"."+receiver] || methodFiles[key] == "") {
				key = "Consumer." + key // a part of the consumer may have the method
			}
			want, ok := methodFiles[key]
			if !ok {
				continue
			}
			if name := folder + "." + receiver; otherMethods[name] != "" {
				used[name] = true
				continue
			}
			seen[key]++
			if path.Base(file) != want {
				t.Errorf("%s has %s.%s, which stands in %s in every driver", file, receiver, method.Name.Name, want)
			}
		}
	})
	for method := range methodFiles {
		if seen[method] == 0 {
			t.Errorf("no driver has the method %s of the table", method)
		}
	}
	for name := range otherMethods {
		if !used[name] {
			t.Errorf("%s is excused, and has no such method", name)
		}
	}
}

// consumerTypes returns the types of the drivers' packages that receive jobs.
func consumerTypes(t *testing.T) map[string]bool {
	types := make(map[string]bool)
	eachGoFile(t, func(file string, syntax *ast.File) {
		for _, d := range syntax.Decls {
			if method, ok := d.(*ast.FuncDecl); ok && method.Recv != nil && method.Name.Name == "Receive" {
				types[path.Dir(file)+"."+receiverName(method)] = true
			}
		}
	})
	return types
}

// TestMethodFilesAreComplete keeps the table to the methods that the SPI has.
func TestMethodFilesAreComplete(t *testing.T) {
	var want []string
	eachGoFile(t, func(file string, syntax *ast.File) {
		if path.Dir(file) == "driver" {
			want = append(want, interfaceMethods(syntax)...)
		}
	})
	slices.Sort(want)
	if have := slices.Sorted(maps.Keys(methodFiles)); !slices.Equal(have, want) {
		t.Errorf("the table has %q, and the SPI has %q", have, want)
	}
}

// interfaceMethods returns the methods of the exported interfaces of a file, those of Consumer with its name.
func interfaceMethods(file *ast.File) []string {
	var methods []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || !spec.Name.IsExported() {
			return true
		}
		contract, ok := spec.Type.(*ast.InterfaceType)
		if !ok {
			return true
		}
		for _, m := range contract.Methods.List {
			for _, name := range m.Names {
				if spec.Name.Name == "Consumer" {
					methods = append(methods, "Consumer."+name.Name)
				} else {
					methods = append(methods, name.Name)
				}
			}
		}
		return true
	})
	return methods
}

func TestInterfaceMethodsFindsThem(t *testing.T) {
	const code = `package p
type Driver interface { A(); B() }
type Consumer interface { A() }
type hidden interface { C() }
type Thing struct{}
func (Thing) D() {}
`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", code, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := interfaceMethods(file), []string{"A", "B", "Consumer.A"}; !slices.Equal(got, want) {
		t.Errorf("interfaceMethods = %q, want %q", got, want)
	}
}
