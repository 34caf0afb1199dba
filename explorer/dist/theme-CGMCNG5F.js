{let e=null;try{e=localStorage.getItem("gavel-theme")}catch{}(e==="dark"||e==="light")&&(document.documentElement.dataset.theme=e)}
