// Verifies an exported log with golang.org/x/mod/sumdb/note and sumdb/tlog, the code behind Go's checksum database.
//
// Usage: main FIXTURE, a folder made by ../run. One line per check on the output. Exit code: 0 all hold, 1 something
// was rejected, 2 the checks could not be made.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

func main() {
	if len(os.Args) != 2 {
		die("usage: main FIXTURE")
	}
	fixture := os.Args[1]
	key, err := note.NewVerifier(strings.TrimSpace(string(read(fixture, "verifier.key"))))
	if err != nil {
		die("verifier.key: %v", err)
	}
	sizes := []int64{}
	for _, name := range list(fixture, "exports") {
		sizes = append(sizes, number(name))
	}
	sort.Slice(sizes, func(a, b int) bool { return sizes[a] < sizes[b] })
	proofs := list(fixture, "proofs")
	if len(sizes) < 2 || len(proofs) == 0 {
		die("%s has %d exports and %d proofs", fixture, len(sizes), len(proofs))
	}

	exports := map[int64]*export{}
	for _, size := range sizes {
		exports[size] = openExport(filepath.Join(fixture, "exports", fmt.Sprint(size)), size, key)
	}
	for at := 1; at < len(sizes); at++ {
		checkConsistency(exports[sizes[at-1]], exports[sizes[at]])
	}
	for _, name := range proofs {
		// The name says which record is asked about; the index in the proof is only a claim.
		parts := strings.SplitN(strings.TrimSuffix(name, ".tlog-proof"), "-", 2)
		if len(parts) != 2 {
			die("%s is not named SIZE-INDEX.tlog-proof", name)
		}
		of, ok := exports[number(parts[0])]
		if !ok {
			die("%s is of no export", name)
		}
		of.checkProof(number(parts[1]), read(fixture, "proofs", name), key)
	}
	if rejected {
		os.Exit(1)
	}
}

// An exported folder. tree is nil if its checkpoint was rejected: nothing can be checked against it then.
type export struct {
	folder  string
	size    int64
	tree    *tlog.Tree
	entries [][]byte
}

func openExport(folder string, size int64, key note.Verifier) *export {
	e := &export{folder: folder, size: size}
	tree, err := openCheckpoint(read(folder, "checkpoint"), key)
	report(err, "checkpoint of %d", size)
	e.readEntries()
	if err != nil {
		return e
	}
	e.tree = &tree
	report(e.checkTiles(), "tiles of %d", size)
	report(e.checkEntries(), "entries of %d", size)
	return e
}

// openCheckpoint has note check the signature and tlog read the text. tlog knows one origin only, that of Go's own
// log, so it is put in place of ours once ours has been compared with the key's name.
func openCheckpoint(signed []byte, key note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		return tlog.Tree{}, err
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != key.Name() {
		return tlog.Tree{}, fmt.Errorf("origin %q is not the key's name", origin)
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

// reader gives hashes out of the exported tiles; tlog authenticates every tile against the checkpoint's root.
func (e *export) reader() tlog.HashReader {
	return tlog.TileHashReader(*e.tree, tileFolder(e.folder))
}

// checkTiles reads every leaf hash and, through them, every tile. x/mod before 0.40 can leave up to two full tiles
// unauthenticated (CVE-2026-56865), so the root is computed anew out of the leaf hashes that it gave.
func (e *export) checkTiles() error {
	indexes := make([]int64, e.tree.N)
	for n := range indexes {
		indexes[n] = tlog.StoredHashIndex(0, int64(n))
	}
	leaves, err := e.reader().ReadHashes(indexes)
	if err != nil {
		return err
	}
	return e.checkRoot(leaves, "leaf hashes in the tiles")
}

// checkEntries has tlog build the tree out of the entries alone.
func (e *export) checkEntries() error {
	var leaves []tlog.Hash
	for _, entry := range e.entries {
		leaves = append(leaves, tlog.RecordHash(entry))
	}
	return e.checkRoot(leaves, "entries")
}

func (e *export) checkRoot(leaves []tlog.Hash, of string) error {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for at, index := range indexes {
			if index >= int64(len(stored)) {
				return nil, fmt.Errorf("there are only %d %s", len(leaves), of)
			}
			hashes[at] = stored[index]
		}
		return hashes, nil
	})
	for n, leaf := range leaves {
		added, err := tlog.StoredHashesForRecordHash(int64(n), leaf, reader)
		if err != nil {
			return err
		}
		stored = append(stored, added...)
	}
	if int64(len(leaves)) > e.tree.N {
		return fmt.Errorf("there are %d %s, the checkpoint says %d", len(leaves), of, e.tree.N)
	}
	root, err := tlog.TreeHash(e.tree.N, reader)
	if err != nil {
		return err
	}
	if root != e.tree.Hash {
		return fmt.Errorf("root of the %s is not that of the checkpoint", of)
	}
	return nil
}

func (e *export) checkProof(index int64, text []byte, key note.Verifier) {
	claimed, path, checkpoint := parseProof(text)
	tree, err := openCheckpoint(checkpoint, key)
	if err == nil {
		err = tlog.CheckRecord(path, tree.N, tree.Hash, claimed, tlog.RecordHash(e.entry(index)))
	}
	report(err, "inclusion of %d in %d", index, e.size)
	if e.tree == nil {
		return
	}
	// The way round: tlog makes its own proof out of the exported tiles, and ours must be the same.
	made, err := tlog.ProveRecord(e.tree.N, index, e.reader())
	if err == nil {
		err = tlog.CheckRecord(made, e.tree.N, e.tree.Hash, index, tlog.RecordHash(e.entry(index)))
	}
	if err == nil && fmt.Sprint(made) != fmt.Sprint(path) {
		err = fmt.Errorf("proof differs from the one out of the tiles")
	}
	report(err, "proof of %d out of the tiles of %d", index, e.size)
}

func checkConsistency(old, new *export) {
	if old.tree == nil || new.tree == nil {
		return
	}
	proof, err := tlog.ProveTree(new.tree.N, old.tree.N, new.reader())
	if err == nil {
		err = tlog.CheckTree(proof, new.tree.N, new.tree.Hash, old.tree.N, old.tree.Hash)
	}
	report(err, "consistency of %d with %d", old.size, new.size)
}

// parseProof reads a C2SP tlog-proof, which x/mod has no code for.
func parseProof(text []byte) (int64, tlog.RecordProof, []byte) {
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		die("not a tlog-proof:\n%s", text)
	}
	path := tlog.RecordProof{}
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			die("hash %q: %v", line, err)
		}
		path = append(path, hash)
	}
	return number(strings.TrimPrefix(lines[1], "index ")), path, checkpoint
}

func (e *export) entry(index int64) []byte {
	if index >= int64(len(e.entries)) {
		return nil
	}
	return e.entries[index]
}

// readEntries splits the bundles. The remaining bytes of a cut-off entry are kept: their hash shows the damage.
func (e *export) readEntries() {
	for n := int64(0); n<<tileHeight < e.size; n++ {
		tile := tlog.Tile{H: tileHeight, L: -1, N: n, W: width(e.size - n<<tileHeight)}
		bundle := read(e.folder, strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1))
		for len(bundle) >= 2 {
			length := int(bundle[0])<<8 | int(bundle[1])
			bundle = bundle[2:]
			if length > len(bundle) {
				length = len(bundle)
			}
			e.entries = append(e.entries, bundle[:length])
			bundle = bundle[length:]
		}
	}
}

func width(left int64) int {
	if left < 1<<tileHeight {
		return int(left)
	}
	return 1 << tileHeight
}

// tileFolder reads C2SP tlog-tiles: Go's tiles of height 8, without the height in their paths.
type tileFolder string

func (folder tileFolder) Height() int { return tileHeight }

func (folder tileFolder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for at, tile := range tiles {
		data[at] = read(string(folder), strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
	}
	return data, nil
}

func (folder tileFolder) SaveTiles([]tlog.Tile, [][]byte) {}

var rejected bool

func report(err error, format string, arguments ...interface{}) {
	verdict := "ok"
	if err != nil {
		rejected = true
		verdict = "rejected: " + err.Error()
	}
	fmt.Printf("go: %s: %s\n", fmt.Sprintf(format, arguments...), verdict)
}

// A file that is not there is no rejection: the check could not be made.
func read(path ...string) []byte {
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		die("%v", err)
	}
	return data
}

func list(path ...string) []string {
	files, err := os.ReadDir(filepath.Join(path...))
	if err != nil {
		die("%v", err)
	}
	names := []string{}
	for _, file := range files {
		names = append(names, file.Name())
	}
	return names
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		die("%v", err)
	}
	return n
}

func die(format string, arguments ...interface{}) {
	fmt.Fprintf(os.Stderr, "go: "+format+"\n", arguments...)
	os.Exit(2)
}
