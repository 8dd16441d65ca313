// Package rooted does what a backup and a restore do to whole directories, and stays inside them. Root may be who calls, and the directories are the
// server's account's, which could exchange a part of a path for a symbolic link between a look at it and its use: what lies outside must neither come along
// nor change.
//
// It is not for the server's own files while it serves: those are its account's in any case.
package rooted

import (
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// LinkTree links name, and what is below it, from one directory to the same place in another one, which is there already.
func LinkTree(from, to, name string) error {
	src, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	st, err := src.Lstat(name)
	if err != nil {
		return err
	}
	if !st.IsDir() { // a symbolic link to another disk goes on being one
		return Link(src, dst, name)
	}
	return fs.WalkDir(src.FS(), name, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return dst.MkdirAll(name, 0o700)
		}
		return Link(src, dst, name)
	})
}

// Link links one name to the same place in another directory, itself even if it is a symbolic link. Root.Link knows one root; the directories that the name is in
// are opened here, which holds each of them to its own.
func Link(src, dst *os.Root, name string) error {
	from, err := src.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := dst.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer to.Close()
	if err := unix.Linkat(int(from.Fd()), path.Base(name), int(to.Fd()), path.Base(name), 0); err != nil {
		return &os.LinkError{Op: "link", Old: name, New: name, Err: err}
	}
	return nil
}

// Give gives a directory and all that is in it to an account, the directory last: until then the account cannot get into it, if it is closed to others.
func Give(dir string, uid, gid int) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	names, err := insideOut(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := root.Lchown(name, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// insideOut lists a directory and all that is in it, each directory after what it holds.
func insideOut(root *os.Root) ([]string, error) {
	var names []string
	err := fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	slices.Reverse(names)
	return names, err
}
