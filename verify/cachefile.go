package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// cacheFile keeps one key set on disk. The file contains the URL of the key set, so that a verifier for another
// authorization server does not use it.
type cacheFile struct{ path, url string }

type cacheDocument struct {
	URL       string    `json:"url"`
	FetchedAt time.Time `json:"fetchedAt"`
	Lifetime  int64     `json:"lifetimeSeconds"`
	KeySet    string    `json:"keySet"` // as received
}

func (f cacheFile) save(got fetched) error {
	b, err := json.Marshal(cacheDocument{f.url, got.at.UTC(), int64(got.lifetime / time.Second), string(got.document)})
	if err != nil {
		return err
	}
	return replaceFile(f.path, b)
}

// replaceFile writes a file atomically: a reader sees either the old or the new contents.
func replaceFile(path string, b []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(b)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}

func (f cacheFile) load() (fetched, error) {
	got, err := f.read()
	if err != nil {
		return fetched{}, fmt.Errorf("read key set from %s: %w", f.path, err)
	}
	return got, nil
}

func (f cacheFile) read() (fetched, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return fetched{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fetched{}, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return fetched{}, fmt.Errorf("others can write to it (mode %v): run chmod go-w, or delete it", info.Mode().Perm())
	}
	var doc cacheDocument
	if err := strictjson.Read(file, 4*maxKeySetSize, &doc); err != nil {
		return fetched{}, err
	}
	if doc.URL != f.url {
		return fetched{}, errors.New("it has the keys of another server: use a different file for each JWKSURL")
	}
	if doc.FetchedAt.After(time.Now()) {
		return fetched{}, errors.New("it is from the future")
	}
	set, err := jose.ParseKeySet([]byte(doc.KeySet))
	if err != nil {
		return fetched{}, err
	}
	return fetched{set: set, at: doc.FetchedAt, lifetime: time.Duration(doc.Lifetime) * time.Second}, nil
}
