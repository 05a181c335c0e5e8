package store

import (
	"reflect"
	"testing"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// settingsWith has a value for each setting that has the text in it, where it can.
func settingsWith(text string, number int64) (s api.ServiceSettings) {
	for _, m := range api.ServiceMembers() {
		switch to := m.Of(&s).(type) {
		case *string:
			*to = text + m.Name
		case *bool:
			*to = true
		case *int64:
			*to = number
		case *[]string:
			*to = []string{text + m.Name, "urn:" + m.Name}
		}
	}
	return s
}

// A setting without a column would be lost with the process.
func TestEverySettingOfAServiceIsStored(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		s := newService("m1")
		read := func(what string) {
			t.Helper()
			got, err := db.ReadService(t.Context(), s.UID)
			if err != nil || !reflect.DeepEqual(got.ServiceSettings, s.ServiceSettings) {
				t.Errorf("%s: got %+v, want %+v (%v)", what, got.ServiceSettings, s.ServiceSettings, err)
			}
		}
		s.ServiceSettings = settingsWith("a", 60)
		if _, err := db.InsertService(t.Context(), s, change(directory.SubjectService(s.UID))); err != nil {
			t.Fatal(err)
		}
		read("inserted")
		for _, settings := range []api.ServiceSettings{{}, settingsWith("b", 61)} {
			s.ServiceSettings = settings
			if _, err := db.UpdateService(t.Context(), s, change(directory.SubjectService(s.UID))); err != nil {
				t.Fatal(err)
			}
			s.Version++
			read("updated")
		}
	})
}
